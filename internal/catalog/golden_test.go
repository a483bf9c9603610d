package catalog

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/internal/pack"
	"waybill/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what was written before:\n got %.3000s\nwant %.3000s", name, got, want)
	}
}

func id(b byte) (id pack.ID) {
	for i := range id {
		id[i] = b + byte(i)
	}
	return id
}

// entries are one of each kind and flag.
func entries() []Entry {
	base := Entry{Inode: 300, Mtime: Time{1_700_000_000, 123_456_789}, Ctime: Time{1_700_000_001, 0}, Mode: 0o644, UID: 1000, GID: 100}
	with := func(k Kind, name string, f func(*Entry)) Entry {
		e := base
		e.Kind, e.Name = k, []byte(name)
		if f != nil {
			f(&e)
		}
		return e
	}
	chunk, hole := Item{65536, id(1)}, Item{Length: 1 << 40}
	return []Entry{
		with(File, "empty", nil),
		with(File, "chunk", func(e *Entry) { e.Size, e.Content = chunk.Length, chunk.append(nil) }),
		with(File, "hole and chunk", func(e *Entry) {
			e.Size, e.Content = hole.Length+chunk.Length, chunk.append(hole.append(nil))
		}),
		with(File, "by reference", func(e *Entry) { e.Size, e.Node = 1<<62, id(2) }),
		with(File, "changed", func(e *Entry) { e.Flags = Changed }),
		with(File, "partial", func(e *Entry) { e.Flags, e.Size, e.Content = Partial, 100_000, chunk.append(nil) }),
		with(File, "hard link", func(e *Entry) { e.Flags, e.Mode = HardLinked, 0o4755 }),
		with(File, "attributes", func(e *Entry) {
			e.Xattrs = AppendXattr(AppendXattr(XattrCount(nil, 2), []byte("user.a"), nil), []byte("user.b"), []byte{0, 0xff})
		}),
		with(File, "everything", func(e *Entry) {
			e.Flags, e.Size, e.Node = Changed|Partial|HardLinked|Unreadable, 1<<40, id(3)
			e.Xattrs = AppendXattr(XattrCount(nil, 1), []byte("security.selinux"), []byte("x"))
		}),
		with(Directory, "empty directory", nil),
		with(Directory, "directory", func(e *Entry) { e.Node = id(4) }),
		with(Directory, "mount point", func(e *Entry) { e.Flags = MountPoint }),
		with(Directory, "unreadable", func(e *Entry) { e.Flags, e.Mode = Unreadable, 0o1777 }),
		with(Directory, "", func(e *Entry) { e.Node = id(5) }),
		with(Symlink, "link", func(e *Entry) { e.Target = []byte("../\xff/t") }),
		with(Fifo, "fifo", nil),
		with(Socket, "socket", nil),
		with(CharDevice, "null", func(e *Entry) { e.Major, e.Minor = 1, 3 }),
		with(BlockDevice, "disk", func(e *Entry) { e.Major, e.Minor = 1<<32-1, 1<<20 }),
		with(Fifo, "\xff\n\x01 any bytes", func(e *Entry) { e.Inode, e.UID, e.GID = 1<<64-1, 1<<32-1, 1<<32-2 }),
		with(Fifo, "before 1970", func(e *Entry) { e.Mtime, e.Ctime = Time{-1, 999_999_999}, Time{-1 << 63, 0} }),
		with(Fifo, "far future", func(e *Entry) { e.Mtime, e.Ctime = Time{1<<63 - 1, 1}, Time{0, 0} }),
	}
}

func TestGoldenEntries(t *testing.T) {
	var b strings.Builder
	for _, e := range entries() {
		raw := e.Append(nil)
		fmt.Fprintf(&b, "%s %q\t%x\n", e.Kind, e.Name, raw)
		back, err := ParseEntry(raw)
		if err != nil || !bytes.Equal(back.Append(nil), raw) || !bytes.Equal(EntryName(raw), e.Name) {
			t.Errorf("%q does not come back: %v", e.Name, err)
		}
		for i := range raw {
			if _, err := ParseEntry(raw[:i]); err == nil && e.Flags&Partial == 0 {
				t.Errorf("%q cut to %d bytes parses", e.Name, i)
			}
		}
		if _, err := ParseEntry(append(raw, 0)); err == nil {
			t.Errorf("%q with a byte more parses", e.Name)
		}
	}
	golden(t, "entries.golden", []byte(b.String()))
}

// The nodes of a small list of each kind, and the ids of large ones: the rule of splitting is frozen by them.
func TestGoldenTrees(t *testing.T) {
	n := newNodes()
	var b strings.Builder
	node := func(what string, id pack.ID) { fmt.Fprintf(&b, "%s\t%s\t%x\n", what, id, n.m[id]) }

	few := map[string]Entry{}
	for _, e := range entries()[:3] {
		few[string(e.Name)] = e
	}
	node("directory of 3", n.build(t, few))
	for _, size := range []int{10, 100, 1000, 10_000, 100_000} {
		model := map[string]Entry{}
		for i := range size {
			model[fmt.Sprintf("name %d", i)] = Entry{Kind: Fifo, Inode: uint64(i)}
		}
		id := n.build(t, model)
		if size == 100 {
			node("directory of 100", id)
		} else {
			fmt.Fprintf(&b, "directory of %d\t%s\n", size, id)
		}
	}
	for _, size := range []int{9, 100, 1000, 10_000, 100_000} {
		c := ContentBuilder{Put: n.put}
		for i := range size {
			it := Item{Length: int64(1 + i%70_000)}
			if i%10 != 9 {
				it.ID = n.hasher.Sum([]byte(fmt.Sprint("chunk ", i)))
			}
			c.Add(it)
		}
		var e Entry
		if err := c.Finish(&e); err != nil {
			t.Fatal(err)
		}
		if size <= 100 {
			node(fmt.Sprintf("content of %d", size), e.Node)
		} else {
			fmt.Fprintf(&b, "content of %d\t%s\n", size, e.Node)
		}
	}
	golden(t, "trees.golden", []byte(b.String()))
}

func point() *Point {
	root := Entry{Kind: Directory, Node: id(6), Mode: 0o755, Mtime: Time{1, 2}, Ctime: Time{3, 4}}
	base := manifest.Digest(id(7))
	at := time.Date(2026, 11, 24, 12, 54, 1, 500_000_000, time.UTC)
	return &Point{State: Complete, Host: "<host>", Started: at, Ended: at.Add(time.Hour), Settled: at.Truncate(time.Second), Base: &base,
		Roots: []string{"/home", `/srv/\xff`}, Excludes: []string{"*.tmp"}, Root: root.Append(nil), Mode: "scan", Reason: "no journal & no more",
		Users: map[string]string{"0": "root", "1000": "jo"}, Groups: map[string]string{},
		Stats:    Stats{1, 2, 3, 4, 5, 6, 7, 8},
		Problems: []Problem{{"/home/x", "not saved: permission denied"}}, ProblemCount: 1}
}

func TestGoldenPoint(t *testing.T) {
	full, err := point().Encode()
	if err != nil {
		t.Fatal(err)
	}
	root := Entry{Kind: Directory}
	first := &Point{State: PartialState, Mode: "first", Root: root.Append(nil), Users: map[string]string{}, Groups: map[string]string{}}
	least, err := first.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "points.golden", append(full, least...))
}
