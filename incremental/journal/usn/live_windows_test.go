package usn

import (
	"errors"
	"os"
	"testing"

	"waybill/incremental/journal"
)

// TestOpenLive opens the journal of the system's own volume, or is told why not: by wine, and without privileges.
func TestOpenLive(t *testing.T) {
	volume := os.Getenv("SystemDrive")
	if volume == "" {
		volume = "C:"
	}
	for _, name := range []string{volume, volume + `\`, "/" + volume} {
		j, err := OpenLive(name)
		if err != nil {
			g, ok := errors.AsType[*journal.Gap](err)
			if !ok {
				t.Fatalf("%s: %v, which is no gap", name, err)
			}
			t.Logf("%s: %s", name, g.Reason)
			continue
		}
		defer j.Close()
		s, err := j.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %+v", name, s)
		to, err := j.Now(t.Context())
		if err != nil {
			t.Skip(err)
		}
		f, err := os.CreateTemp(t.TempDir(), "f")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		later, err := j.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := changes(t, j, to, later); len(d.Dirs) == 0 {
			t.Error("nothing changed, though a file was made")
		}
	}
	_, err := OpenLive(`\\server\share`)
	wantGap(t, err, "the file system keeps no change journal")
}
