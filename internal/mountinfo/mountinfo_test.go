package mountinfo

import (
	"slices"
	"strings"
	"testing"
)

// Names may have spaces, and overlays more options than a line usually has letters.
func TestParse(t *testing.T) {
	list, err := parse("22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n" +
		`36 22 0:31 /sub\040dir /with\040space\134 rw master:1 propagate_from:2 - overlay my\040source lowerdir=` + strings.Repeat("/a:", 50_000) + "\n" +
		"37 22 0:32 / /last rw - tmpfs  rw\n")
	want := []Mount{{22, "254:1", "/", "/", "ext4", "/dev/root"}, {36, "0:31", "/sub dir", `/with space\`, "overlay", "my source"}, {37, "0:32", "/", "/last", "tmpfs", ""}}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%+v, %v", list, err)
	}
	for _, bad := range []string{"22 1 254:1 / /\n", "x 1 254:1 / / rw - ext4 a rw\n"} {
		if list, err := parse(bad); err == nil {
			t.Errorf("%q is %+v", bad, list)
		}
	}
}
