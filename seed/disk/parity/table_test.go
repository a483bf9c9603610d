package parity

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The shards are what FORMAT.md says, computed in the slow way, and the bytes don't change.
func TestFormat(t *testing.T) {
	f := newFleet(t, 4)
	a, b := f.pack(1, 2*Block+7), f.pack(2, 300)
	members := f.members(0, a, b)
	members[1].Index = 100
	table, names := f.protect(members, 3, 4)
	inverse := func(c byte) (inv byte) {
		for multiply(c, inv) != 1 {
			inv++
		}
		return inv
	}
	for j, name := range names {
		file := f.disks[2+j].files[name]
		for p := range 2*Block + 7 {
			want := multiply(inverse(byte(128+j)), f.packs[a][p])
			if p < 300 {
				want ^= multiply(inverse(byte(128+j)^100), f.packs[b][p])
			}
			if file[p] != want {
				t.Fatalf("byte %d of shard %d is %x, not %x", p, j, file[p], want)
			}
		}
		tail := file[len(file)-24:]
		at, size := binary.BigEndian.Uint64(tail), binary.BigEndian.Uint64(tail[8:])
		if at != 2*Block+7 || string(tail[16:]) != "WAYBPRTY" || !bytes.Equal(file[at:at+size], table.bytes) {
			t.Errorf("shard %d ends in %x", j, tail)
		}
		last := crc32.Checksum(file[2*Block:at], crc32.MakeTable(crc32.Castagnoli))
		if sum := table.bytes[len(table.bytes)-32-4*(2-j)*3+8:]; binary.BigEndian.Uint32(sum) != last {
			t.Errorf("the last sum of shard %d", j)
		}
	}
	got := fmt.Appendf(nil, "%s\n%s%x\n", table.Group, table.bytes[:table.head], table.bytes[table.head:])
	path := filepath.Join("testdata", "table")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the table is\n%s(%v)", got, err)
	}
}

func hostile(change func(h *Head)) (b []byte, group string) {
	h := Head{Machine: machineID, Set: setID, Shards: []Shard{{0, 1}}}
	for i := range 3 {
		h.Members = append(h.Members, Member{i, 1, manifest.PackName(machineID, manifest.Sum([]byte{byte(i)})), 1000})
	}
	change(&h)
	b, _ = manifest.EncodeDocument(struct {
		Format string `json:"format"`
		Head
	}{headFormat, h})
	return b, groupName(b)
}

func TestHostileTables(t *testing.T) {
	for name, change := range map[string]func(h *Head){
		"huge":               func(h *Head) { h.Members[0].Size = 1 << 62 },
		"huge together":      func(h *Head) { h.Members[0].Size, h.Members[1].Size = maxSize/2, maxSize/2 },
		"negative":           func(h *Head) { h.Members[0].Size = -1 },
		"empty":              func(h *Head) { h.Members[0].Size = 0 },
		"two of one index":   func(h *Head) { h.Members[1].Index = 0 },
		"index 128":          func(h *Head) { h.Members[2].Index = 128 },
		"negative index":     func(h *Head) { h.Members[0].Index = -1 },
		"a name twice":       func(h *Head) { h.Members[1].Name = h.Members[0].Name },
		"a name outside":     func(h *Head) { h.Members[1].Name = "../../etc/passwd" },
		"another's pack":     func(h *Head) { h.Machine = setID },
		"a table as member":  func(h *Head) { h.Members[1].Name = manifest.ParityTableName(machineID, strings.Repeat("0", 32)) },
		"disk 0":             func(h *Head) { h.Members[1].Disk = 0 },
		"no members":         func(h *Head) { h.Members = nil },
		"too many members":   func(h *Head) { h.Members = slices.Repeat(h.Members[:1], 129) },
		"no shards":          func(h *Head) { h.Shards = nil },
		"shard 16":           func(h *Head) { h.Shards[0].Index = 16 },
		"two of one shard":   func(h *Head) { h.Shards = []Shard{{0, 1}, {0, 2}} },
		"shard on disk 10^5": func(h *Head) { h.Shards[0].Disk = 100000 },
		"no machine":         func(h *Head) { h.Machine = "" },
	} {
		b, group := hostile(change)
		if h, err := ParseHead(b, group); !errors.Is(err, manifest.ErrFormat) {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
	b, group := hostile(func(*Head) {})
	if _, err := ParseHead(b, group); err != nil {
		t.Error(err)
	}
	if _, err := ParseHead(b, strings.Repeat("0", 32)); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("under another name: %v", err)
	}
	b, group = hostile(func(h *Head) { h.Members[0].Size = maxSize / 4 })
	if _, err := ParseTable(append(b, make([]byte, 100)...), group); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("a table without its sums: %v", err)
	}
}

// Tables that make one another's shards their members, and packs of one another, end; and what they say of a pack that is
// right makes none wrong.
func TestCycles(t *testing.T) {
	f := newFleet(t, 1)
	names := []string{f.pack(1, 100<<10), f.pack(1, 100<<10), f.pack(1, 100<<10)}
	var all []string
	for i := range 6 {
		members := append(slices.Clone(names), all...)
		_, shards := f.protect(f.members(i, members...), 1)
		all = append(all, shards...)
	}
	for i := range 100 { // many groups of the same
		f.protect(f.members(i, names...), 1)
	}
	for _, name := range append(slices.Clone(names), all...) {
		clear(f.disks[0].files[name])
	}
	s := f.open()
	s.effort = 200
	lost := f.checkBy(s)
	if len(lost) != 0 && len(lost) != 3 {
		t.Errorf("lost are %v", lost)
	}
	for name := range f.disks[0].files {
		clear(f.disks[0].files[name])
	}
	s = f.open()
	if len(s.Flaws()) == 0 || s.Covers(names[0]) {
		t.Errorf("tables of zeros: %v", s.Flaws())
	}
}

// A table that lies makes its packs lost, or read as it wants them: never does it fail otherwise.
func TestLyingTable(t *testing.T) {
	f := newFleet(t, 1)
	name := f.pack(1, 100<<10)
	other := f.pack(1, 100<<10)
	f.protect(f.members(0, name, other), 1)
	right := f.packs[name]
	f.disks[0].files[name] = f.disks[0].files[other]
	s := f.open()
	if b, err := readAll(t.Context(), s, name); err != nil || !bytes.Equal(b, right) {
		t.Errorf("a pack in another's place: %v", err)
	}
}

// Tables that don't agree on how long a file is mend what they can of it, whichever is asked first.
func TestTablesOfDifferentSizes(t *testing.T) {
	for _, sizes := range [][]int{{50 << 10, 300 << 10}, {300 << 10, 50 << 10}, {100 << 10, 130 << 10}, {5 << 20, 100}} {
		for order := range 4 { // of the groups, which are sorted by names that can't be told
			f := newFleet(t, 1)
			name, other := f.pack(1, sizes[0]), f.pack(1, 200<<10)
			_, shards := f.protect(f.members(order, name, other), 1)
			delete(f.disks[0].files, shards[0]) // its table is all that is left
			whole := f.disks[0].files[name]
			f.disks[0].files[name] = append(slices.Clone(whole), make([]byte, 6<<20)...)[:sizes[1]]
			f.protect(f.members(order+1, name, other), 1)
			f.disks[0].files[name] = make([]byte, sizes[0])
			if got, err := readAll(t.Context(), f.open(), name); err != nil && !errors.As(err, new(*LostError)) {
				t.Errorf("%v: %d bytes, %v", sizes, len(got), err)
			}
		}
	}
}

func FuzzTable(f *testing.F) {
	b, group := hostile(func(*Head) {})
	f.Add(b, group)
	h, _ := ParseHead(b, group)
	t, _ := newTable(h)
	f.Add(t.finish(), group)
	f.Add(append(bytes.Clone(b), t.Trailer()...), group)
	f.Fuzz(func(t *testing.T, b []byte, group string) {
		if head, _, ok := bytes.Cut(b, []byte("\n")); ok {
			group = groupName(append(bytes.Clone(head), '\n')) // or nothing would get by
		}
		if _, err := ParseTable(bytes.Clone(b), group); err != nil && !errors.Is(err, manifest.ErrFormat) {
			t.Fatalf("an error of no kind: %v", err)
		}
		d := newTree()
		d.files[manifest.ParityShardName(machineID, group, 0)] = b
		d.files[manifest.ParityTableName(machineID, group)] = b
		s, err := Open(t.Context(), machineID, []Source{{"1", d}})
		if err != nil {
			t.Fatal(err)
		}
		for name := range s.members {
			var lost *LostError
			if _, err := s.ReadAt(context.Background(), name, make([]byte, 10), 0); err == nil {
				t.Fatalf("%s was read from nowhere", name)
			} else if !errors.As(err, &lost) && !strings.HasPrefix(err.Error(), "reading") {
				t.Fatal(err)
			}
		}
	})
}
