package databox

import (
	"slices"
	"testing"
)

func TestSources(t *testing.T) {
	const info = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:44 / /mnt/box rw,relatime shared:2 - cifs //10.0.0.5/acc1_BlockBlob rw,vers=3.1
41 22 0:45 / /mnt/my\040box rw - nfs4 10.0.0.5:/acc1_BlockBlob rw
42 22 8:2 / /mnt/disk rw - ext4 /dev/acc1_BlockBlob rw
short line
`
	for dir, want := range map[string][]string{"/mnt/box": {"//10.0.0.5/acc1_BlockBlob"}, "/mnt/my box": {"10.0.0.5:/acc1_BlockBlob"}, "/": nil, "/mnt/disk": nil} {
		if got := sources(info, dir); !slices.Equal(got, want) {
			t.Errorf("%s: %q", dir, got)
		}
	}
}
