package parity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"waybill/manifest"
)

const (
	machineID manifest.ID = "0b7a4e1c-8c55-4f0d-bb1e-5a2f9a6d3c02"
	setID     manifest.ID = "d2c4b8a0-1f3e-4c6d-8a9b-7e5f3d1c0b03"
)

// A tree is a source in memory. Reads that touch a bad sector fail.
type tree struct {
	files map[string][]byte
	bad   map[string][]int64 // offsets

}

func newTree() *tree { return &tree{files: map[string][]byte{}, bad: map[string][]int64{}} }

func (t *tree) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	b, ok := t.files[name]
	if !ok {
		return 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	for _, at := range t.bad[name] {
		if off <= at && at < off+int64(len(p)) {
			return 0, errors.New("input/output error")
		}
	}
	return bytes.NewReader(b).ReadAt(p, off)
}

func (t *tree) Size(_ context.Context, name string) (int64, error) {
	b, ok := t.files[name]
	if !ok {
		return 0, fs.ErrNotExist
	}
	return int64(len(b)), nil
}

func (t *tree) List(_ context.Context, prefix string, each func(string, int64) error) error {
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		if strings.HasPrefix(name, prefix) {
			if err := each(name, int64(len(t.files[name]))); err != nil {
				return err
			}
		}
	}
	return nil
}

// A fleet is the disks of a set, numbered from 1, and what is on them.
type fleet struct {
	t     *testing.T
	disks []*tree
	packs map[string][]byte
	on    map[string]int
	rnd   *rand.Rand
	small *Buffers
}

func newFleet(t *testing.T, disks int) *fleet {
	f := &fleet{t: t, small: NewBuffers(5 * Block), packs: map[string][]byte{}, on: map[string]int{}, rnd: rand.New(rand.NewPCG(1, uint64(disks)))}
	for range disks {
		f.disks = append(f.disks, newTree())
	}
	return f
}

// pack puts a pack of so many random bytes on a disk.
func (f *fleet) pack(disk int, size int) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(len(f.packs)), byte(disk), byte(size)}).Read(b)
	name := manifest.PackName(machineID, manifest.Sum(b))
	f.packs[name], f.on[name] = b, disk
	f.disks[disk-1].files[name] = slices.Clone(b)
	return name
}

// member makes members of files, with the indices from first on.
func (f *fleet) members(first int, names ...string) (list []Member) {
	for i, name := range names {
		disk := f.on[name]
		list = append(list, Member{first + i, disk, name, int64(len(f.disks[disk-1].files[name]))})
	}
	return list
}

// protect makes a group whose shards are on the given disks, and returns it with the names of its shards.
func (f *fleet) protect(members []Member, on ...int) (*Table, []string) {
	return f.encode(members, members, nil, on)
}

func (f *fleet) encode(members, added []Member, base *Base, on []int) (*Table, []string) {
	f.t.Helper()
	h := &Head{Machine: machineID, Set: setID, Members: members}
	var out []io.Writer
	var files []*bytes.Buffer
	for j, disk := range on {
		h.Shards = append(h.Shards, Shard{j, disk})
		files = append(files, &bytes.Buffer{})
		out = append(out, files[j])
	}
	e, err := NewEncoder(h, out, base, f.small)
	if err != nil {
		f.t.Fatal(err)
	}
	for off := int64(0); off < e.Length(); off += 5 * Block {
		if err := e.Begin(off); err != nil {
			f.t.Fatal(err)
		}
		for _, m := range added {
			if off < m.Size {
				e.Add(slices.Index(members, m), 0, f.disks[m.Disk-1].files[m.Name][off:min(off+5*Block, m.Size)])
			}
		}
		e.End()
	}
	table, failed := e.Finish()
	if err := errors.Join(failed...); err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for j, disk := range on {
		name := manifest.ParityShardName(machineID, e.Group(), j)
		names, f.on[name] = append(names, name), disk
		f.disks[disk-1].files[name] = files[j].Bytes()
		f.disks[disk-1].files[manifest.ParityTableName(machineID, e.Group())] = table
		if files[j].Len() != int(e.FileSize()) {
			f.t.Errorf("a shard has %d bytes, not %d", files[j].Len(), e.FileSize())
		}
	}
	t, err := ParseTable(table, e.Group())
	if err != nil {
		f.t.Fatal(err)
	}
	return t, names
}

func (f *fleet) open() *Set {
	f.t.Helper()
	var sources []Source
	for i, d := range f.disks {
		if d != nil {
			sources = append(sources, Source{fmt.Sprint(i + 1), d})
		}
	}
	s, err := Open(f.t.Context(), machineID, sources)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// check reads all packs, in pieces, and returns those that are lost, sorted.
func (f *fleet) check() (lost []string) {
	f.t.Helper()
	return f.checkBy(f.open())
}

func (f *fleet) checkBy(s *Set) (lost []string) {
	f.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(f.packs)) {
		got, err := readAll(f.t.Context(), s, name)
		var l *LostError
		switch {
		case errors.As(err, &l) && l.Name == name:
			lost = append(lost, name)
		case err != nil:
			f.t.Errorf("%s: %v", name, err)
		case !bytes.Equal(got, f.packs[name]):
			f.t.Errorf("%s is read wrong", name)
		}
	}
	return lost
}

func readAll(ctx context.Context, s *Set, name string) (all []byte, err error) {
	buf := make([]byte, 100_000)
	for {
		n, err := s.ReadAt(ctx, name, buf, int64(len(all)))
		all = append(all, buf[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// The ways in which a file can be damaged.
var harms = map[string]func(f *fleet, d *tree, name string){
	"gone":        func(f *fleet, d *tree, name string) { delete(d.files, name) },
	"cut":         func(f *fleet, d *tree, name string) { d.files[name] = d.files[name][:f.rnd.IntN(len(d.files[name]))] },
	"zeroed":      func(f *fleet, d *tree, name string) { clear(d.files[name]) },
	"bit flipped": func(f *fleet, d *tree, name string) { d.files[name][f.rnd.IntN(len(d.files[name]))] ^= 0x10 },
	"bad sector": func(f *fleet, d *tree, name string) {
		d.bad[name] = append(d.bad[name], int64(f.rnd.IntN(len(d.files[name]))))
	},
}

// Within a disk, whatever happens to as many files as there are shards is mended; one more and exactly the packs are lost that are damaged.
func TestWithinADisk(t *testing.T) {
	for shards := 1; shards <= 3; shards++ {
		for harm, do := range harms {
			f := newFleet(t, 1)
			var names []string
			for range 4 {
				names = append(names, f.pack(1, 100<<10+f.rnd.IntN(200<<10)))
			}
			_, parity := f.protect(f.members(0, names...), slices.Repeat([]int{1}, shards)...)
			files := append(slices.Clone(names), parity...)
			f.rnd.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
			for _, name := range files[:shards] {
				do(f, f.disks[0], name)
			}
			if lost := f.check(); lost != nil {
				t.Errorf("4+%d, %s: %d packs are lost", shards, harm, len(lost))
			}
		}
	}
}

func TestOnePastTheLimit(t *testing.T) {
	for shards := 1; shards <= 2; shards++ {
		f := newFleet(t, 1)
		var names []string
		for range 5 {
			names = append(names, f.pack(1, 200<<10))
		}
		f.protect(f.members(3, names...), slices.Repeat([]int{1}, shards)...)
		other := f.pack(1, 100<<10)
		f.protect(f.members(0, other), 1)
		delete(f.disks[0].files, other)
		want := slices.Sorted(slices.Values(names[:shards+1]))
		for _, name := range want {
			f.disks[0].files[name][70<<10] ^= 1 // the second block of each
		}
		if lost := f.check(); !slices.Equal(lost, want) {
			t.Errorf("5+%d: lost are %v, not %v", shards, lost, want)
		}
		s := f.open()
		b := make([]byte, Block)
		if _, err := s.ReadAt(t.Context(), want[0], b, 2*Block); err != nil || !bytes.Equal(b, f.packs[want[0]][2*Block:3*Block]) {
			t.Errorf("a good block of a lost pack: %v", err)
		}
	}
}

// Bad blocks in every file of a group do no harm while they are at different places.
func TestBadBlocksEverywhere(t *testing.T) {
	f := newFleet(t, 1)
	var names []string
	for range 4 {
		names = append(names, f.pack(1, 6*Block-1000))
	}
	_, parity := f.protect(f.members(0, names...), 1)
	for i, name := range append(slices.Clone(names), parity...) {
		f.disks[0].files[name][i*Block+5] ^= 1
		f.disks[0].bad[name] = append(f.disks[0].bad[name], int64(i*Block+6))
	}
	if lost := f.check(); lost != nil {
		t.Errorf("lost are %v", lost)
	}
	s := f.open()
	for _, name := range names {
		if _, err := readAll(t.Context(), s, name); err != nil {
			t.Error(err)
		}
	}
	if s.Mended() != 4 {
		t.Errorf("%d blocks were mended", s.Mended())
	}
}

// Packs of several windows, of which one is lost as a whole.
func TestWindows(t *testing.T) {
	f := newFleet(t, 1)
	names := []string{f.pack(1, 2*Window+100), f.pack(1, Window), f.pack(1, Window+Block/2)}
	f.protect(f.members(0, names...), 1, 1)
	delete(f.disks[0].files, names[0])
	f.disks[0].files[names[2]] = f.disks[0].files[names[2]][:Window-1]
	if lost := f.check(); lost != nil {
		t.Errorf("lost are %v", lost)
	}
	if s := f.open(); !s.Covers(names[0]) || s.Size(names[0]) != 2*Window+100 || s.Covers("x") || s.Size("x") != 0 {
		t.Error("what it covers")
	}
}

// across makes data disks of n packs each with parity within, and parity disks behind them.
func across(t *testing.T, data, parity, n, shards int) *fleet {
	f := newFleet(t, data+parity)
	packs := make([][]string, n)
	for d := 1; d <= data; d++ {
		var names []string
		for i := range n {
			names = append(names, f.pack(d, 100<<10+f.rnd.IntN(200<<10)))
			packs[i] = append(packs[i], names[i])
		}
		f.protect(f.members(0, names...), slices.Repeat([]int{d}, shards)...)
	}
	var on []int
	for p := range parity {
		on = append(on, data+p+1)
	}
	rows := make([][]string, parity)
	for i := range n {
		_, names := f.protect(f.members(0, packs[i]...), on...)
		for p := range parity {
			rows[p] = append(rows[p], names[p])
		}
	}
	for p, names := range rows {
		f.protect(f.members(0, names...), slices.Repeat([]int{data + p + 1}, shards)...)
	}
	return f
}

// As many disks as there are parity disks may be lost, and bad blocks on the others are mended on the way.
func TestAcross(t *testing.T) {
	for parity := 1; parity <= 2; parity++ {
		for first := range 4 + parity {
			f := across(t, 4, parity, 4, 1)
			lost := []int{first, (first + 2) % (4 + parity)}[:parity]
			for i, d := range f.disks {
				for name := range d.files { // a bad block in one file of every group
					if _, _, ok := manifest.ParsePackName(name); ok || i >= 4 && strings.HasSuffix(name, "00.shard") {
						d.files[name][100] ^= 1
						break
					}
				}
			}
			for _, i := range lost {
				f.disks[i] = nil
			}
			if bad := f.check(); bad != nil {
				t.Errorf("4 disks and %d of parity, without %v: lost are %v", parity, lost, bad)
			}
		}
	}
}

// With one disk too many lost, what was on the two is lost but for what parity within them... is gone with them; the others read.
func TestAcrossPastTheLimit(t *testing.T) {
	f := across(t, 4, 1, 4, 1)
	f.disks[1], f.disks[2] = nil, nil
	f.disks[0].files[f.on0(1)][0] ^= 1
	var want []string
	for name, disk := range f.on {
		if _, _, ok := manifest.ParsePackName(name); ok && (disk == 2 || disk == 3) {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if lost := f.check(); !slices.Equal(lost, want) {
		t.Errorf("lost are %d, not %d", len(lost), len(want))
	}
}

// on0 is a pack of a disk.
func (f *fleet) on0(disk int) string {
	for _, name := range slices.Sorted(maps.Keys(f.packs)) {
		if f.on[name] == disk {
			return name
		}
	}
	return ""
}

// A row is extended by a disk that comes later, and is what it would be had all been there.
func TestExtend(t *testing.T) {
	f := newFleet(t, 5)
	a, b, c := f.pack(1, 150<<10), f.pack(2, 100<<10), f.pack(3, 300<<10)
	on := []int{4, 5}
	old, names := f.protect(f.members(0, a, b), on...)
	base := &Base{Table: old, ReadAt: func(j int, p []byte, off int64) error {
		copy(p, f.disks[on[j]-1].files[names[j]][off:])
		return nil
	}}
	all := f.members(0, a, b, c)
	_, grown := f.encode(all, all[2:], base, on)
	extended := f.disks[3].files[grown[0]]
	f.protect(all, on...)
	if !bytes.Equal(extended, f.disks[3].files[grown[0]]) {
		t.Error("a row that was extended is not what it would be")
	}
	for j, disk := range on {
		delete(f.disks[disk-1].files, names[j])
	}
	f.disks[0], f.disks[2] = nil, nil
	if lost := f.check(); lost != nil {
		t.Errorf("lost are %v", lost)
	}
	f.disks[3].files[names[0]] = make([]byte, 1<<20)
	e, err := NewEncoder(&Head{machineID, setID, all, []Shard{{0, 4}, {1, 5}}}, make([]io.Writer, 2), base, NewBuffers(Window))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Begin(0); err == nil {
		t.Error("a row was extended from a shard that is damaged")
	}
}

// The table is there as long as one copy is.
func TestTableCopies(t *testing.T) {
	for keep := -1; keep < 2; keep++ {
		f := newFleet(t, 1)
		names := []string{f.pack(1, 100<<10), f.pack(1, 70<<10)}
		table, shards := f.protect(f.members(0, names...), 1, 1)
		delete(f.disks[0].files, names[0])
		own := manifest.ParityTableName(machineID, table.Group)
		if keep != -1 {
			f.disks[0].files[own][len(table.bytes)-3] ^= 1
		}
		for j, name := range shards {
			if j != keep {
				b := f.disks[0].files[name]
				b[len(b)-30] ^= 1
			}
		}
		if lost := f.check(); lost != nil {
			t.Errorf("with copy %d alone: lost are %v", keep, lost)
		}
	}
}

func TestConcurrent(t *testing.T) {
	f := across(t, 3, 1, 3, 1)
	f.disks[1] = nil
	s := f.open()
	done := make(chan error)
	for _, name := range slices.Sorted(maps.Keys(f.packs)) {
		go func() {
			b, err := readAll(t.Context(), s, name)
			if err == nil && !bytes.Equal(b, f.packs[name]) {
				err = errors.New("read wrong")
			}
			done <- err
		}()
	}
	for range f.packs {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestCancel(t *testing.T) {
	f := across(t, 3, 1, 3, 1)
	name := f.on0(2)
	f.disks[1] = nil
	s := f.open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.ReadAt(ctx, name, make([]byte, 10), 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := readAll(t.Context(), s, name); err != nil {
		t.Error("after that:", err)
	}
}
