package usn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
	"waybill/incremental/journal/journaltest"
	"waybill/internal/ntfs"
	"waybill/internal/ntfs/ntfsdir"
	"waybill/internal/ntfs/ntfstest"
	"waybill/internal/source"
	"waybill/internal/treetest"
)

// A mounted is a real NTFS volume in an image, mounted by ntfs-3g. What was done to it is found by comparing its file table, and
// the records that Windows would have written are added to its journal.
type mounted struct {
	t       *testing.T
	image   string
	dir     string
	is      bool   // mounted
	log     *model // of the records
	wraps   int
	written int // bytes of them that are in the journal
	usns    map[ntfs.FRN]uint64
	late    map[ntfs.FRN]ntfs.Standard // when not nil: directories in which something came or went keep the times they had, as some of Windows do
	state   map[ntfs.FRN]file
}

// A file is what is compared.
type file struct {
	dir      bool
	names    []string // parent and name
	at       []Name
	standard ntfs.Standard
	streams  map[string][32]byte
	rest     string // security, reparse point
}

const (
	purged = 64 << 10 // where the journal's records begin

	// Options of mounting.
	plain  = "permissions,streams_interface=windows"
	hidden = plain + ",show_sys_files"
)

func mount(t *testing.T) *mounted {
	m := &mounted{t: t, image: ntfstest.Make(t, 64<<20, "-c", "4096"), log: newModel(2), usns: map[ntfs.FRN]uint64{}}
	m.log.log = make([]byte, purged)
	var unmount func()
	m.dir, unmount = ntfstest.Mount(t, m.image, hidden) // skips the test where it can't
	unmount()
	t.Cleanup(m.unmount)
	m.remount(hidden)
	// Nothing may be created in $Extend, but what is there already may be moved in.
	m.must(os.WriteFile(filepath.Join(m.dir, "UJ"), nil, 0o600))
	m.must(os.WriteFile(filepath.Join(m.dir, "UJ:$Max"), m.max(), 0o600))
	f, err := os.Create(filepath.Join(m.dir, "UJ:$J"))
	m.must(err)
	_, err = f.WriteAt(make([]byte, 8), purged) // leaves a hole
	m.must(err)
	m.must(f.Truncate(purged))
	m.must(f.Close())
	for i := range 2 {
		m.must(os.WriteFile(filepath.Join(m.dir, fmt.Sprint("witness", i)), nil, 0o600))
	}
	m.must(os.Rename(filepath.Join(m.dir, "UJ"), filepath.Join(m.dir, "$Extend/$UsnJrnl")))
	m.written = purged
	return m
}

func (m *mounted) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *mounted) max() []byte {
	b := make([]byte, 32)
	for i, n := range []uint64{8 << 20, 1 << 20, m.log.info.ID, 0} {
		binary.LittleEndian.PutUint64(b[8*i:], n)
	}
	return b
}

// remount mounts the volume with these options.
func (m *mounted) remount(options string) {
	m.t.Helper()
	m.unmount()
	ntfstest.Run(m.t, "ntfs-3g", "-o", options, m.image, m.dir)
	m.is = true
}

// unmount has all that was done be in the image.
func (m *mounted) unmount() {
	m.t.Helper()
	if m.is {
		ntfstest.Run(m.t, "umount", m.dir)
		m.is = false
	}
}

// open opens the volume in the image, which nobody has mounted for writing now.
func (m *mounted) open() *ntfs.Volume {
	f, err := os.Open(m.image)
	m.must(err)
	m.t.Cleanup(func() { f.Close() })
	v, err := ntfs.Open(f, 64<<20)
	m.must(err)
	return v
}

// record brings the journal up to what the volume is.
func (m *mounted) record() {
	if m.compare() {
		m.write()
	}
}

// compare makes records of what changed since it was called last; the first time there is nothing to compare with.
func (m *mounted) compare() bool {
	m.unmount()
	before := m.state
	m.look()
	if before == nil {
		return false
	}
	for _, frn := range slices.Sorted(maps.Keys(before)) {
		if _, ok := m.state[frn]; !ok {
			m.deleted(frn, before[frn])
		}
	}
	for _, frn := range slices.Sorted(maps.Keys(m.state)) {
		x, ok := before[frn]
		m.changed(frn, x, m.state[frn], !ok)
	}
	return true
}

// write adds the records that are new.
func (m *mounted) write() {
	m.rewrite(0, m.written)
	m.stamp()
}

// rewrite writes the journal's records from a position on, and opens the stream with these flags for that.
func (m *mounted) rewrite(flags, from int) {
	m.remount(hidden)
	f, err := os.OpenFile(filepath.Join(m.dir, "$Extend/$UsnJrnl:$J"), os.O_RDWR|flags, 0)
	m.must(err)
	_, err = f.WriteAt(m.log.log[from:], int64(from))
	m.must(err)
	m.must(f.Truncate(int64(len(m.log.log))))
	m.must(f.Close())
	m.written = len(m.log.log)
	m.unmount()
}

// wrap gives up the journal's records up to some behind those that were there last.
func (m *mounted) wrap(rng *rand.Rand) {
	first := (m.written+pageSize)&^(pageSize-1) + rng.IntN(len(m.log.log)-m.written+1)&^(pageSize-1)
	if first >= len(m.log.log) || rng.IntN(3) == 0 {
		m.wrapAll()
		return
	}
	m.rewrite(os.O_TRUNC, first)
	m.stamp()
}

// wrapAll gives up all records but one that says nothing of one of two files, in turn, to which nothing else happens.
func (m *mounted) wrapAll() {
	m.wraps++
	name := fmt.Sprint("witness", m.wraps%2)
	for range 2 {
		for frn, x := range m.state {
			if string(x.at[0].Name) == name {
				m.note(frn, false, x.at[0], closed)
			}
		}
		m.log.log = append(m.log.log, make([]byte, pageSize-len(m.log.log)%pageSize)...)
	}
	m.rewrite(os.O_TRUNC, len(m.log.log)-pageSize)
	m.stamp()
}

// stamp puts the USN of each file's last record into the file table, as Windows does and ntfs-3g doesn't, and times that are late.
func (m *mounted) stamp() {
	f, err := os.OpenFile(m.image, os.O_RDWR, 0)
	m.must(err)
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	m.must(err)
	defer unix.Munmap(b)
	for at := 0; at < len(b); at += 1024 {
		r := b[at : at+1024]
		if string(r[:4]) != "FILE" {
			continue
		}
		frn := ntfs.FRN(binary.LittleEndian.Uint32(r[0x2c:])) | ntfs.FRN(binary.LittleEndian.Uint16(r[0x10:]))<<48
		usn, ok := m.usns[frn]
		times, late := m.late[frn]
		if !ok && !late || r[0x16]&1 == 0 {
			continue
		}
		std := r[binary.LittleEndian.Uint16(r[0x14:]):] // the first attribute is $STANDARD_INFORMATION
		if std[0] != 0x10 || binary.LittleEndian.Uint32(std[0x10:]) < 0x48 {
			m.t.Fatalf("record %v has no room for a USN", frn)
		}
		std = std[binary.LittleEndian.Uint16(std[0x14:]):]
		binary.LittleEndian.PutUint64(std[0x40:], usn)
		if late {
			binary.LittleEndian.PutUint64(std[8:], uint64(times.Modified))
			binary.LittleEndian.PutUint64(std[16:], uint64(times.Changed))
		}
	}
}

// look takes the volume's state.
func (m *mounted) look() {
	v := m.open()
	m.state = map[ntfs.FRN]file{}
	extend, err := v.Extend()
	m.must(err)
	m.must(v.Each(m.t.Context(), func(r *ntfs.Record) error {
		if r.FRN.Record() < 24 || len(r.Names) == 0 || r.Names[0].Parent == extend {
			return nil
		}
		r.Standard.Usn = 0 // which we write ourselves
		x := file{dir: r.Directory, standard: r.Standard, streams: map[string][32]byte{}}
		for _, n := range r.Names {
			name := bytes.Clone(n.Name)
			x.at = append(x.at, Name{ID{Low: uint64(n.Parent)}, name})
			x.names = append(x.names, fmt.Sprintf("%d/%s", n.Parent, name))
		}
		for _, s := range r.Streams {
			f, err := r.Open(string(s.Name))
			if err != nil {
				return err
			}
			h := sha256.New()
			if _, err := io.Copy(h, io.NewSectionReader(f, 0, f.Size())); err != nil {
				return err
			}
			x.streams[string(s.Name)] = [32]byte(h.Sum(nil))
		}
		if r.ReparseTag != 0 {
			b, err := r.Reparse()
			if err != nil {
				return err
			}
			x.rest = string(b)
		}
		acl, err := v.SecurityOf(r)
		if err == nil {
			x.rest += string(acl)
		}
		m.state[r.FRN] = x
		return nil
	}))
}

func (m *mounted) note(frn ntfs.FRN, dir bool, by Name, reasons uint32) {
	x := &node{id: ID{Low: uint64(frn)}, dir: dir}
	m.log.write(x, by, reasons)
	m.usns[frn] = x.usn
}

func (m *mounted) deleted(frn ntfs.FRN, x file) {
	for _, n := range x.at[1:] {
		m.note(frn, x.dir, n, hardLinkChange|closed)
	}
	m.note(frn, x.dir, x.at[0], fileDelete|closed)
}

// changed writes of a file what happened since; old is empty if it is new.
func (m *mounted) changed(frn ntfs.FRN, old, x file, created bool) {
	reasons := uint32(0)
	if created {
		reasons = fileCreate
		m.note(frn, x.dir, x.at[0], reasons)
		old.at, old.names = x.at[:1], x.names[:1]
	}
	gone, come := minus(old, x), minus(x, old)
	for len(gone) > 0 && len(come) > 0 {
		m.note(frn, x.dir, gone[0], renameOld)
		m.note(frn, x.dir, come[0], renameNew)
		gone, come, reasons = gone[1:], come[1:], reasons|renameNew
	}
	for _, n := range slices.Concat(gone, come) {
		m.note(frn, x.dir, n, hardLinkChange|closed)
	}
	for name, sum := range x.streams {
		switch was, ok := old.streams[name]; {
		case ok && was == sum, created && name == "" && sum == sha256.Sum256(nil):
		case name == "":
			reasons |= dataOverwrite
		default:
			reasons |= streamChange
		}
	}
	for name := range old.streams {
		if _, ok := x.streams[name]; !ok {
			reasons |= streamChange
		}
	}
	if old.rest != x.rest {
		reasons |= securityChange | reparseChange
	}
	s := old.standard
	byEntries := x.dir && s.Attributes == x.standard.Attributes && x.standard.Modified == x.standard.Changed // its times, without a record
	if byEntries && m.late != nil && !created {
		m.late[frn], x.standard = s, s
		m.state[frn] = x
	}
	if !created && reasons == 0 && s != x.standard && !byEntries {
		reasons |= basicInfoChange
	}
	if reasons != 0 {
		m.note(frn, x.dir, x.at[len(x.at)/2], reasons|closed)
	}
}

// minus returns the names that a has and b doesn't.
func minus(a, b file) (list []Name) {
	for i, n := range a.names {
		if !slices.Contains(b.names, n) {
			list = append(list, a.at[i])
		}
	}
	return list
}

// journal opens that of the volume as it is.
func (m *mounted) journal(t *testing.T) *Journal {
	j, err := OpenRaw(m.open())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestMounted holds the journal of a real volume against a scan of it, both read from the image, over rounds of random changes. Before half of
// them the journal wraps.
func TestMounted(t *testing.T) {
	for seed := range uint64(2) {
		m := mount(t)
		if seed > 0 {
			m.late = map[ntfs.FRN]ntfs.Standard{}
		}
		m.record()
		m.remount(plain)
		var v *ntfs.Volume
		rng, lost, rounds := rand.New(rand.NewPCG(seed, 5)), 0, 0
		journaltest.Rounds(t, journaltest.Options{
			Volume: m.dir, Seed: 1000 * seed, Rounds: 8, Edits: 16,
			Make: treetest.Options{Entries: 80, MaxFile: 100 << 10, Shallow: true},
			Edit: m.edit,
			Journal: func(t *testing.T) journal.Journal {
				clear(m.late)
				m.compare()
				if rounds++; rounds > 1 && rng.IntN(2) == 0 {
					m.wrap(rng)
					lost++
				} else {
					m.write()
				}
				m.remount(plain) // roots are looked for there
				v = m.open()
				return &counted{m.journal(t), &lost}
			},
			Open: func() (*source.Dir, error) { return ntfsdir.Open(v) },
		})
		if lost != 0 {
			t.Errorf("%d times more than not, files were not found by their last USN after the journal had wrapped", lost)
		}
	}
}

// TestMountedLost has single changes of a real volume in records that are lost, one after the other.
func TestMountedLost(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%v", late), func(t *testing.T) { mountedLost(t, late) })
	}
}

func mountedLost(t *testing.T, late bool) {
	m := mount(t)
	if late {
		m.late = map[ntfs.FRN]ntfs.Standard{}
	}
	m.record()
	m.remount(plain)
	var v *ntfs.Volume
	lost := 1 // but for the first point
	r := journaltest.New(t, journaltest.Options{
		Volume: m.dir, Make: treetest.Options{Entries: 10, MaxFile: 10 << 10, Shallow: true},
		Journal: func(t *testing.T) journal.Journal {
			clear(m.late)
			m.compare()
			m.wrapAll()
			lost++
			m.remount(plain)
			v = m.open()
			return &counted{m.journal(t), &lost}
		},
		Open: func() (*source.Dir, error) { return ntfsdir.Open(v) },
	})
	lost = 0
	do := func(what string, ops ...[]string) {
		t.Helper()
		for _, op := range ops {
			for i := range op[1:] {
				op[1+i] = filepath.Join(m.dir, "tree", op[1+i])
			}
			ntfstest.Run(t, "/bin/sh", slices.Concat([]string{"-c", op[0] + ` "$@"`, "sh"}, op[1:])...)
		}
		if r.Check(); t.Failed() || lost != 0 {
			t.Fatalf("%s, %d not found by their last USN", what, lost)
		}
	}
	type op = []string
	do("make", op{"mkdir", "a", "b", "a/d", "a/d/e"}, op{"touch", "a/f", "a/d/g", "a/d/e/h", "a/d/e/i", "b/k", "b/l"}, op{"cp", "a/f", "a/f:s"}, op{"cp", "a/f", "b:s"})
	do("nothing")
	do("rename to another directory", op{"mv", "a/f", "b/f"})
	do("hard link", op{"ln", "b/f", "a/d/f"})
	do("hard link gone", op{"rm", "b/f"})
	do("delete from a directory with a stream", op{"rm", "b/k"})
	do("made and removed again", op{"touch", "a/d/e/tmp"}, op{"rm", "a/d/e/tmp"})
	do("the same in a directory with a stream", op{"touch", "b/tmp"}, op{"rm", "b/tmp"})
	do("directory moved", op{"mv", "a/d", "b/d"})
	do("directory above moved, and something deleted", op{"mv", "b", "a/b"}, op{"rm", "a/b/d/e/h"})
	do("moved out of a directory, and that deleted", op{"mv", "a/b/d/e/i", "a/i"}, op{"rm -r", "a/b/d/e"})
	do("delete and create", op{"rm", "a/i"}, op{"mkdir", "a/i"}, op{"touch", "a/i/i"})
	do("delete everything", op{"rm -r", "a"})
}

// counted counts down how often changes were found by the last USN.
type counted struct {
	journal.Journal
	lost *int
}

func (c *counted) Changes(ctx context.Context, from, to *journal.Cursor, d *journal.Dirty) error {
	err := c.Journal.Changes(ctx, from, to, d)
	if d.Alive != nil {
		*c.lost--
	}
	return err
}

// edit changes what only NTFS has: streams, of files and directories, and attributes.
func (m *mounted) edit(tree string, seed uint64) (did []string) {
	rng := rand.New(rand.NewPCG(seed, 3))
	var all []string
	m.must(filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
		if err == nil && path != tree && (e.IsDir() || e.Type().IsRegular()) {
			all = append(all, path)
		}
		return err
	}))
	for range min(len(all), 4) {
		path := all[rng.IntN(len(all))]
		stream := fmt.Sprintf("%s:s%d", path, rng.IntN(3))
		switch what := rng.IntN(4); what {
		case 0:
			did = append(did, fmt.Sprintf("remove %q: %v", stream, os.Remove(stream)))
		case 1:
			b := binary.LittleEndian.AppendUint32(nil, []uint32{0x20, 0x22, 0x2020}[rng.IntN(3)])
			did = append(did, fmt.Sprintf("attributes of %q: %v", path, unix.Lsetxattr(path, "system.ntfs_attrib", b, 0)))
		default:
			did = append(did, fmt.Sprintf("write %q: %v", stream, os.WriteFile(stream, []byte(fmt.Sprint(rng.Int())), 0o600)))
		}
	}
	return did
}

// TestMountedGaps has the journal of a real volume wrap, be created anew, and be deleted.
func TestMountedGaps(t *testing.T) {
	m := mount(t)
	m.must(os.WriteFile(filepath.Join(m.dir, "first"), nil, 0o600))
	m.record()
	m.remount(plain)
	for i := range 100 {
		m.must(os.WriteFile(filepath.Join(m.dir, fmt.Sprint("file", i)), nil, 0o600))
	}
	m.record()
	j := m.journal(t)
	from := now(t, j)
	if s, err := j.Status(t.Context()); err != nil || s.First != purged || s.Next != uint64(m.written) || s.Size != 8<<20 || s.Since.IsZero() {
		t.Errorf("status %+v, %v", s, err)
	}
	changes(t, j, from, now(t, j))

	// It wraps: its beginning is given up.
	m.log.write(&node{id: ID{Low: 99}}, Name{ID{Low: 5 | 5<<48}, []byte("x")}, closed)
	m.log.log = append(m.log.log, make([]byte, pageSize-len(m.log.log)%pageSize)...)
	first := len(m.log.log)
	m.log.write(&node{id: ID{Low: 99}}, Name{ID{Low: 5 | 5<<48}, []byte("y")}, basicInfoChange|closed)
	m.rewrite(os.O_TRUNC, first)
	j = m.journal(t)
	lost(t, j, from, now(t, j))

	m.remount(hidden)
	m.log.info.ID++
	m.must(os.WriteFile(filepath.Join(m.dir, "$Extend/$UsnJrnl:$Max"), m.max(), 0o600))
	m.unmount()
	j = m.journal(t)
	wantGap(t, j.Changes(t.Context(), from, now(t, j), &journal.Dirty{}), "journal re-created")

}

// TestRawWithout is a volume without a journal.
func TestRawWithout(t *testing.T) {
	m := &mounted{t: t, image: ntfstest.Make(t, 64<<20)}
	_, err := OpenRaw(m.open())
	wantGap(t, err, "the volume has no change journal")
}

// TestStreamInode is by the same numbers as the tree.
func TestStreamInode(t *testing.T) {
	if a, b := streamInode(0x5000000001234, []byte("Zone")), ntfsdir.StreamInode(0x5000000001234, []byte("Zone")); a != b {
		t.Errorf("%x, in the tree %x", a, b)
	}
}
