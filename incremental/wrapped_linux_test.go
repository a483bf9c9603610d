package incremental_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	"waybill/incremental/volumes"
	"waybill/internal/catalog"
	"waybill/internal/ntfs"
)

// A guest is a volume of Windows in an image, with a journal.
type guest struct {
	t          *testing.T
	image, mnt string
	mounted    bool
}

func (g *guest) run(name string, args ...string) {
	g.t.Helper()
	run(g.t, name, args...)
}

func (g *guest) mount() {
	g.run("mount", "-t", "ntfs-3g", "-o", "permissions,streams_interface=windows,show_sys_files", g.image, g.mnt)
	g.mounted = true
}

func (g *guest) unmount() {
	if g.mounted {
		g.run("umount", g.mnt)
		g.mounted = false
	}
}

// find returns a file's id, and that of its directory.
func (g *guest) find(dir, name string) (frn, parent ntfs.FRN) {
	g.t.Helper()
	f, err := os.Open(g.image)
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	v, err := ntfs.Open(f, 32<<20)
	if err == nil {
		parent, err = v.Find(v.Root(), []byte(dir))
	}
	if err == nil {
		frn, err = v.Find(parent, []byte(name))
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return frn, parent
}

// note has the file's last record be at a position: in the file table, and in the journal, which begins there.
func (g *guest) note(dir, name string, usn int64) {
	g.t.Helper()
	frn, parent := g.find(dir, name)
	g.stamp(frn, usn)
	chars := utf16.Encode([]rune(name))
	r := make([]byte, (60+2*len(chars)+7)&^7)
	le := binary.LittleEndian
	le.PutUint32(r, uint32(len(r)))
	le.PutUint16(r[4:], 2)
	for at, n := range map[int]uint64{8: uint64(frn), 16: uint64(parent), 24: uint64(usn), 32: 133e15} {
		le.PutUint64(r[at:], n)
	}
	le.PutUint32(r[40:], 0x80000002) // extended, closed
	le.PutUint16(r[56:], uint16(2*len(chars)))
	le.PutUint16(r[58:], 60)
	for i, c := range chars {
		le.PutUint16(r[60+2*i:], c)
	}
	g.mount()
	j, err := os.OpenFile(filepath.Join(g.mnt, "$Extend/$UsnJrnl:$J"), os.O_RDWR|os.O_TRUNC, 0)
	if err == nil {
		_, err = j.WriteAt(r, usn)
	}
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	g.unmount()
}

// stamp writes a file's last USN into its record in the file table.
func (g *guest) stamp(frn ntfs.FRN, usn int64) {
	g.t.Helper()
	b, err := os.ReadFile(g.image)
	if err != nil {
		g.t.Fatal(err)
	}
	le := binary.LittleEndian
	for at := 0; at+1024 <= len(b); at += 1024 {
		r := b[at : at+1024]
		if string(r[:4]) != "FILE" || uint64(le.Uint32(r[0x2c:])) != frn.Record() || le.Uint16(r[0x10:]) != frn.Sequence() {
			continue
		}
		std := r[le.Uint16(r[0x14:]):]
		le.PutUint64(std[le.Uint16(std[0x14:])+0x40:], uint64(usn))
	}
	if err := os.WriteFile(g.image, b, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// A guest's journal wrapped since the last backup: what changed is found by the file table, what went by the base, and nothing else is read.
func TestImageWrapped(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := exec.LookPath("mkntfs"); err != nil {
		t.Skip("mkntfs isn't here: ", err)
	}
	g := &guest{t: t, image: filepath.Join(t.TempDir(), "c.img"), mnt: t.TempDir()}
	g.run("truncate", "-s", "32M", g.image)
	g.run("mkntfs", "-F", "-q", "-Q", g.image)
	t.Cleanup(func() { unix.Unmount(g.mnt, unix.MNT_DETACH) })
	g.mount()
	for i := range 20 {
		write(t, fmt.Sprintf("%s/d/kept%02d", g.mnt, i), noise(9000, uint64(i)))
	}
	write(t, g.mnt+"/d/changed", []byte("before"))
	write(t, g.mnt+"/gone/gone", []byte("gone"))
	var max [32]byte
	binary.LittleEndian.PutUint64(max[:], 8<<20)
	binary.LittleEndian.PutUint64(max[16:], 7)
	write(t, g.mnt+"/UJ", nil)
	write(t, g.mnt+"/UJ:$Max", max[:])
	write(t, g.mnt+"/UJ:$J", nil)
	g.run("mv", g.mnt+"/UJ", g.mnt+"/$Extend/$UsnJrnl")
	g.unmount()
	g.note("d", "kept00", 64<<10)

	m := newMachine(t)
	m.options.Volumes = volumes.Options{Images: []volumes.Image{{Path: g.image, As: "C:"}}, StateDir: t.TempDir()}
	if v := m.backup().Point.Volumes[0]; v.Mode != catalog.Unoptimised || v.Reason != "first backup" || v.Cursor == nil {
		t.Fatalf("%+v", v)
	}
	g.mount()
	write(t, g.mnt+"/d/changed", []byte("behind"))
	g.run("rm", g.mnt+"/gone/gone")
	g.unmount()
	g.note("d", "changed", 256<<10)

	r := m.backup()
	const reason = "journal wrapped: files found by their last USN"
	if v := r.Point.Volumes[0]; v.Mode != catalog.Optimised || v.Reason != reason || r.Point.Reason != reason || r.Point.Mode != catalog.Journalled {
		t.Errorf("%+v, %s", v, r.Point.Reason)
	}
	saved := m.read("latest", "/C:")
	if _, ok := saved["gone/gone"]; ok || !bytes.Equal(saved["d/changed"].content, []byte("behind")) || r.Point.Stats.ReadBytes != 6 || r.Point.Stats.Files != 21 {
		t.Errorf("gone is there: %v, changed is %q, %+v", ok, saved["d/changed"].content, r.Point.Stats)
	}
	m.options.Volumes.Sweep = -1
	if r := m.backup(); r.Point.Volumes[0].Misses != 0 {
		t.Errorf("a sweep found %q", r.Point.Volumes[0].Missed)
	}
}
