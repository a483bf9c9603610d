package incremental_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/incremental/volumes"
	"waybill/internal/catalog"
)

// A volume of Windows is saved out of an image, without Windows: names, contents, streams, hard links, and what only NTFS has.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	image, mnt := filepath.Join(dir, "c.img"), filepath.Join(dir, "mnt")
	files := map[string][]byte{
		"a/b/small": []byte("small"), "a/large": noise(3<<20, 1), "a/empty": nil, "Überlänge.txt": noise(700, 2), "a/c:stream": noise(70_000, 3), "a/c": noise(5000, 4),
	}
	for _, c := range [][]string{{"truncate", "-s", "32M", image}, {"mkntfs", "-F", "-q", "-Q", image}, {"mkdir", mnt},
		{"mount", "-t", "ntfs-3g", "-o", "streams_interface=windows", image, mnt}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v, %s", c, err, out)
		}
	}
	mounted := true
	t.Cleanup(func() {
		if mounted {
			unix.Unmount(mnt, unix.MNT_DETACH)
		}
	})
	for _, name := range []string{"a/c", "a/b/small", "a/large", "a/empty", "Überlänge.txt", "a/c:stream"} {
		write(t, filepath.Join(mnt, name), files[name])
	}
	if err := os.Link(mnt+"/a/large", mnt+"/a/b/link"); err != nil {
		t.Fatal(err)
	}
	files["a/b/link"] = files["a/large"]
	write(t, mnt+"/pagefile.sys", noise(5000, 5)) // is left out
	run(t, "umount", mnt)
	mounted = false

	m := newMachine(t)
	m.options.Volumes = volumes.Options{Images: []volumes.Image{{Path: image, As: "C:"}}, StateDir: t.TempDir()}
	r := m.backup()
	selection := r.Point.Selection
	if v := r.Point.Volumes; len(v) != 1 || v[0].Path != "/C:" || v[0].Mode != catalog.Unoptimised || r.Point.ProblemCount > 0 || r.Point.Stats.Files != 7 {
		t.Errorf("%+v, %+v", r.Point, v)
	}
	saved := m.read("latest", "/C:")
	for name, want := range files {
		it, ok := saved[name]
		if !ok || !bytes.Equal(it.content, want) {
			t.Errorf("%s: %t, %d bytes, want %d", name, ok, len(it.content), len(want))
		}
		if linked := it.Flags&catalog.HardLinked != 0; linked != (name == "a/large" || name == "a/b/link") {
			t.Errorf("%s: flags %x", name, it.Flags)
		}
	}
	var attributes []string
	e := saved["a/c"].Entry
	e.EachXattr(func(name, _ []byte) bool { attributes = append(attributes, string(name)); return true })
	if len(attributes) < 2 {
		t.Errorf("attributes are %q", attributes)
	}
	moved := image + "-of-today" // as snapshots are called
	if err := os.Rename(image, moved); err != nil {
		t.Fatal(err)
	}
	m.options.Volumes.Images[0].Path = moved
	if r := m.backup(); r.Point.Stats.ReadBytes != 0 || r.Point.Stats.Unchanged != 7 || r.Point.Selection != selection {
		t.Errorf("%+v, selection %v, was %v", r.Point.Stats, r.Point.Selection, selection)
	}
}
