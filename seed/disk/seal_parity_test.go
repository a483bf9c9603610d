package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// A set of disks being sealed, the parity disks last.
type set struct {
	t      testing.TB
	disks  []*filler
	packs  map[string]string // by name
	on     map[string]int
	scheme parity.Scheme
	rnd    *rand.Rand
}

func newSet(t testing.TB, scheme string, packs []int, across int) *set {
	t.Helper()
	return newSetOf(t, scheme, packs, across, 100<<10, 300<<10, func(int) string { return t.TempDir() })
}

// newSetOf makes disks with so many packs of between low and high bytes, in the directories that dir names.
func newSetOf(t testing.TB, scheme string, packs []int, across, low, high int, dir func(disk int) string) *set {
	t.Helper()
	s := &set{t: t, packs: map[string]string{}, on: map[string]int{}, rnd: rand.New(rand.NewPCG(3, 4))}
	var err error
	if s.scheme, err = parity.ParseScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for i := range len(packs) + across {
		l := label()
		l.Disk = i + 1
		if i >= len(packs) {
			l.Role = RoleParity
		}
		s.disks = append(s.disks, newFillerOf(t, dir(i+1), l))
	}
	for i, n := range packs {
		for range n {
			s.pack(s.disks[i], low+s.rnd.IntN(high-low))
		}
	}
	s.commit()
	return s
}

func (s *set) pack(f *filler, size int) {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(len(s.packs))}).Read(b)
	f.pack(string(b))
	name := manifest.PackName(machineID, manifest.Sum(b))
	s.packs[name], s.on[name] = string(b), f.label.Disk
}

// commit publishes all disks' packs on all of them.
func (s *set) commit() {
	s.t.Helper()
	first := s.disks[0]
	first.disks = len(s.disks)
	for _, f := range s.disks[1:] {
		first.packs = append(first.packs, f.packs...)
		f.packs = nil
	}
	first.commit()
	for _, f := range s.disks[1:] {
		for _, name := range []string{manifest.SignatureName(machineID, first.sequence, first.head), manifest.ManifestName(machineID, first.sequence)} {
			b, err := os.ReadFile(first.path(name))
			f.must(err)
			f.write(name, b)
		}
	}
}

// seal seals the disks of these numbers, or all.
func (s *set) seal(numbers ...int) error {
	o := s.disks[0].options()
	o.Scheme, o.Disks = s.scheme, len(s.disks)
	var disks []*Disk
	for i, f := range s.disks {
		if len(numbers) == 0 || slices.Contains(numbers, i+1) {
			disks = append(disks, f.Disk)
		}
	}
	return Seal(s.t.Context(), disks, o)
}

// files are the files of parity on a disk, and when they were written.
func (s *set) files(number int) map[string]string {
	files := map[string]string{}
	f := s.disks[number-1]
	f.must(f.List(s.t.Context(), manifest.ParityPrefix(machineID), func(name string, size int64) error {
		info, err := os.Stat(f.path(name))
		files[name] = fmt.Sprint(size, info.ModTime().UnixNano())
		return err
	}))
	return files
}

// bytes are those of a disk's packs and parity.
func (s *set) bytes(number int) (n int64) {
	f := s.disks[number-1]
	for _, prefix := range []string{manifest.PacksPrefix(machineID), manifest.ParityPrefix(machineID)} {
		f.must(f.List(s.t.Context(), prefix, func(_ string, size int64) error {
			n += size
			return nil
		}))
	}
	return n
}

// check reads everything through the parity of all disks but those that are lost, and returns the packs that can't be read, sorted.
func (s *set) check(without ...int) (lost []string) {
	s.t.Helper()
	var sources []parity.Source
	for i, f := range s.disks {
		if !slices.Contains(without, i+1) {
			d, err := Open(f.Path()) // no handles of before
			f.must(err)
			defer d.Close()
			sources = append(sources, parity.Source{Name: fmt.Sprint(i + 1), Reader: d})
		}
	}
	p, err := parity.Open(s.t.Context(), machineID, sources)
	s.disks[0].must(err)
	for _, name := range slices.Sorted(maps.Keys(s.packs)) {
		got := make([]byte, len(s.packs[name]))
		n, err := p.ReadAt(s.t.Context(), name, got, 0)
		var l *parity.LostError
		switch {
		case errors.As(err, &l) || errors.Is(err, fs.ErrNotExist):
			lost = append(lost, name)
		case err != nil || n < len(got) || string(got) != s.packs[name]:
			s.t.Errorf("%s is read wrong: %v", name, err)
		}
	}
	return lost
}

// checkSums makes sure that a sealed disk's SHA256SUMS lists all that is there.
func (s *set) checkSums(number int) {
	s.t.Helper()
	f := s.disks[number-1]
	b, err := os.ReadFile(f.path(SumsName))
	f.must(err)
	sums, err := ParseSums(b)
	f.must(err)
	listed := map[string]bool{LabelName: true, SumsName: true}
	for _, sum := range sums {
		b, err := os.ReadFile(f.path(sum.Name))
		if listed[sum.Name] = true; err != nil || manifest.Sum(b) != sum.Digest {
			s.t.Errorf("disk %d: %s: %v", number, sum.Name, err)
		}
	}
	f.must(f.List(s.t.Context(), "", func(name string, _ int64) error {
		if log := strings.HasPrefix(name, manifest.CustodiesPrefix(machineID)); listed[name] == log {
			s.t.Errorf("disk %d: %s and %s don't agree", number, name, SumsName)
		}
		return nil
	}))
	if l := f.Label(); l.State != Sealed || l.Parity != s.scheme.String() {
		s.t.Errorf("disk %d: %+v", number, l)
	}
}

// harm damages a file of a disk in some way.
func (s *set) harm(number int, name string) {
	s.t.Helper()
	f := s.disks[number-1]
	path := f.path(name)
	b, err := os.ReadFile(path)
	f.must(err)
	at := s.rnd.IntN(len(b) - 1)
	switch s.rnd.IntN(4) {
	case 0:
		b[at] ^= 1
	case 1:
		clear(b[at:min(at+5000, len(b))])
		b[at] ^= 1
	case 2:
		b = b[:at]
	case 3:
		f.must(os.Remove(path))
		return
	}
	f.must(os.WriteFile(path, b, 0o644))
}

func (s *set) packsOf(number int) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(s.packs)) {
		if s.on[name] == number {
			names = append(names, name)
		}
	}
	return names
}

func TestSealWithParity(t *testing.T) {
	for _, scheme := range []string{"4+1", "4+2"} {
		s := newSet(t, scheme, []int{9}, 0)
		s.disks[0].must(s.seal())
		s.checkSums(1)
		before := s.files(1)
		if len(before) != 3*(s.scheme.Shards+1) { // groups of 4, 4 and 1
			t.Errorf("%s: %d files of parity", scheme, len(before))
		}
		var read atomic.Int64
		s.disks[0].write(manifest.CustodyName(manifest.Custody{Machine: machineID, Set: setID, Disk: 1, Number: 1}), []byte("written"))
		o := s.disks[0].options()
		o.Scheme, o.Read = s.scheme, &read
		s.disks[0].must(Seal(t.Context(), []*Disk{s.disks[0].Disk}, o))
		if low, high := s.bytes(1), s.bytes(1)*7/5; read.Load() < low || read.Load() > high {
			t.Errorf("%s: %d bytes are on the disk, %d were read back", scheme, low, read.Load())
		}
		if after := s.files(1); !maps.Equal(before, after) {
			t.Errorf("%s: sealing again has written parity again", scheme)
		}
		s.checkSums(1)
		names := s.packsOf(1)
		slices.SortFunc(names, func(a, b string) int { return len(s.packs[b]) - len(s.packs[a]) })
		for _, name := range names[:s.scheme.Shards] { // of the first group
			s.harm(1, name)
		}
		s.harm(1, names[8])
		if lost := s.check(); lost != nil {
			t.Errorf("%s: lost are %v", scheme, lost)
		}
		for _, name := range names[:s.scheme.Shards+1] {
			os.Remove(s.disks[0].path(name))
		}
		want := slices.Sorted(slices.Values(names[:s.scheme.Shards+1]))
		if lost := s.check(); !slices.Equal(lost, want) {
			t.Errorf("%s, one past the limit: lost are %v", scheme, lost)
		}
	}
}

// Parity that is damaged, or of packs that are gone, is made anew; the rest stays.
func TestSealMakesAnew(t *testing.T) {
	s := newSet(t, "4+1", []int{12}, 0)
	s.disks[0].must(s.seal())
	before := s.files(1)
	groups := slices.Sorted(maps.Keys(before))
	for i, harm := range []func(name string) error{
		func(name string) error { return os.Truncate(name, 1000) },
		func(name string) error {
			b, err := os.ReadFile(name)
			b[len(b)/2] ^= 1
			return errors.Join(err, os.WriteFile(name, b, 0o644))
		},
		os.Remove,
	} {
		for _, ext := range []int{0, 1} { // a shard or a table
			s.disks[0].must(harm(s.disks[0].path(groups[(i*2+ext)%6])))
			s.disks[0].must(s.seal())
			s.checkSums(1)
		}
	}
	after := s.files(1)
	if !slices.Equal(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))) {
		t.Errorf("files of parity: %d, then %d", len(before), len(after))
	}
	s.scheme = parity.Scheme{Data: 6, Shards: 2}
	s.disks[0].must(s.seal())
	if files := s.files(1); len(files) != 6 {
		t.Errorf("with 6+2: %d files of parity", len(files))
	}
	s.checkSums(1)
}

func TestSealAcross(t *testing.T) {
	for across := 1; across <= 2; across++ {
		s := newSet(t, "4+1", []int{5, 7, 4, 6}, across)
		s.disks[0].must(s.seal())
		for number := range s.disks {
			s.checkSums(number + 1)
		}
		before := make([]map[string]string, len(s.disks))
		for i := range s.disks {
			before[i] = s.files(i + 1)
		}
		s.disks[0].must(s.seal())
		for i := range s.disks {
			if !maps.Equal(before[i], s.files(i+1)) {
				t.Errorf("sealing again has changed the parity of disk %d", i+1)
			}
		}
		for i := range s.disks { // one file of a disk is damaged
			name := s.packsOf(i + 1)
			if name == nil {
				name = slices.Sorted(maps.Keys(before[i]))
			}
			s.harm(i+1, name[s.rnd.IntN(len(name))])
		}
		for i := range s.disks {
			lost := []int{i + 1, (i+3)%len(s.disks) + 1}[:across]
			if got := s.check(lost...); got != nil {
				t.Errorf("without disks %v: lost are %d", lost, len(got))
			}
		}
		var want []string
		for number := 1; number <= across+1; number++ {
			want = append(want, s.packsOf(number)...)
		}
		slices.Sort(want)
		lost := s.check([]int{1, 2, 3}[:across+1]...)
		for _, name := range lost {
			if !slices.Contains(want, name) {
				t.Errorf("%s is lost, too", name)
			}
		}
		if len(lost) < len(want)-7 || len(lost) == 0 {
			t.Errorf("without %d disks: lost are %d of %d", across+1, len(lost), len(want))
		}
	}
}

// Rows of which nothing can be told any more are in nobody's way.
func TestSealAcrossMakesAnew(t *testing.T) {
	for across := 1; across <= 2; across++ {
		s := newSet(t, "4+1", []int{2, 2}, across)
		s.disks[0].must(s.seal())
		f := s.disks[2]
		for name := range s.files(3) {
			info, err := os.Stat(f.path(name))
			f.must(err)
			f.must(os.WriteFile(f.path(name), make([]byte, info.Size()), 0o644))
		}
		if err := s.seal(1, 3); across == 1 && !errors.Is(err, ErrMedium) {
			t.Errorf("without disk 2, which the rows covered: %v", err)
		}
		s.disks[0].must(s.seal())
		for number := range s.disks {
			s.checkSums(number + 1)
			if lost := s.check(number + 1); lost != nil {
				t.Errorf("without disk %d: lost are %d", number+1, len(lost))
			}
		}
	}
}

// Disks that come one by one, each with the disk of parity, end up as if they had come together.
func TestSealOneByOne(t *testing.T) {
	s := newSet(t, "4+1", []int{5, 6, 5}, 2)
	s.disks[0].must(s.seal(2, 4, 5))
	if lost := s.check(2); lost != nil {
		t.Errorf("a set of one: lost are %d", len(lost))
	}
	s.disks[0].must(s.seal(1)) // without parity disks: not in the rows yet
	s.disks[0].must(s.seal(3, 4, 5))
	s.disks[0].must(s.seal(1, 4, 5))
	for number := range s.disks {
		s.checkSums(number + 1)
	}
	for _, lost := range [][]int{{1, 2}, {2, 3}, {1, 3}, {1, 4}, {4, 5}} {
		if got := s.check(lost...); got != nil {
			t.Errorf("without disks %v: lost are %d", lost, len(got))
		}
	}
	rows := 0
	for name := range s.files(4) {
		if strings.HasSuffix(name, ".table") {
			rows++
		}
	}
	if rows != 6+2 { // and two groups within the disk
		t.Errorf("%d tables on a disk of parity", rows)
	}
	// A shard of a row is lost. Without the disks that it is of, it can't be made anew; with them it can.
	for name := range s.files(5) {
		if _, _, shard, _ := manifest.ParseParityName(name); shard == 1 {
			s.disks[4].must(os.Remove(s.disks[4].path(name)))
			break
		}
	}
	if err := s.seal(1, 4, 5); !errors.Is(err, ErrMedium) || !strings.Contains(err.Error(), "must be sealed with it") {
		t.Errorf("with a shard gone: %v", err)
	}
	s.disks[0].must(s.seal())
	if got := s.check(1, 2); got != nil {
		t.Errorf("after a shard was made anew: lost are %d", len(got))
	}
}

// Packs that are lost and stored again are missed by nobody, and the rows that they were in go on protecting the others.
func TestSealWithoutLostPacks(t *testing.T) {
	s := newSet(t, "4+1", []int{3, 3, 3}, 2)
	s.disks[0].must(s.seal())
	for _, name := range s.packsOf(2)[:2] {
		_, digest, _ := manifest.ParsePackName(name)
		s.disks[0].lost = append(s.disks[0].lost, digest)
		s.disks[1].must(s.disks[1].Remove(t.Context(), name))
		delete(s.packs, name)
	}
	for _, f := range s.disks {
		f.must((&sealing{Disk: f.Disk}).unseal())
	}
	for range 4 {
		s.pack(s.disks[1], 200<<10)
	}
	s.commit()
	s.disks[0].must(s.seal(2, 4, 5))
	s.checkSums(2)
	for _, lost := range [][]int{{1}, {2}, {3}} {
		if got := s.check(lost...); got != nil {
			t.Errorf("without disks %v: lost are %d", lost, len(got))
		}
	}
	s.disks[0].must(s.seal())
	for _, lost := range [][]int{{1, 2}, {2, 3}, {1, 3}, {4, 5}} {
		if got := s.check(lost...); got != nil {
			t.Errorf("with all sealed again, without disks %v: lost are %d", lost, len(got))
		}
	}
}

// A sealing that stops between the rows that were extended and the removal of the old ones goes on.
func TestSealStoppedWhileExtending(t *testing.T) {
	s := newSet(t, "off", []int{3, 3}, 1)
	s.disks[0].must(s.seal(1, 3))
	old := map[string][]byte{}
	for name := range s.files(3) {
		b, err := os.ReadFile(s.disks[2].path(name))
		s.disks[0].must(err)
		old[name] = b
	}
	s.disks[0].must(s.seal(2, 3))
	after := s.files(3)
	tables := 0
	for _, name := range slices.Sorted(maps.Keys(after)) { // the first two rows' new tables were not written, and nothing was removed
		if strings.HasSuffix(name, ".table") && tables < 2 {
			tables++
			s.disks[0].must(os.Remove(s.disks[2].path(name)))
		}
	}
	for name, b := range old {
		s.disks[2].must(s.disks[2].Put(t.Context(), name, bytes.NewReader(b)))
	}
	s.disks[0].must(s.seal(2, 3))
	if again := s.files(3); !slices.Equal(slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(again))) {
		t.Errorf("%d files of parity, then %d", len(after), len(again))
	}
	for lost := 1; lost <= 3; lost++ {
		if got := s.check(lost); got != nil {
			t.Errorf("without disk %d: lost are %d", lost, len(got))
		}
	}
}

// A disk of parity that is almost full is extended row by row.
func TestSealExtendsInLittleRoom(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	s := newSet(t, "4+1", []int{8, 8}, 1)
	dir := s.disks[2].Path()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("can't mount here: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	l := s.disks[2].Label()
	old := s.disks[2]
	s.disks[2] = newFillerOf(t, dir, l)
	old.must(old.List(t.Context(), manifest.ManifestsPrefix(machineID), func(name string, _ int64) error {
		b, err := manifest.ReadObject(t.Context(), old, name, 1<<20)
		s.disks[2].write(name, b)
		return err
	}))
	s.disks[0].must(s.seal(1, 3))
	free, err := s.disks[2].Free()
	s.disks[0].must(err)
	s.disks[0].must(os.WriteFile(filepath.Join(dir, "FILLED"), make([]byte, free-400<<10), 0o644))
	s.disks[0].must(s.seal(2, 3))
	s.checkSums(3)
	for lost := 1; lost <= 3; lost++ {
		if got := s.check(lost); got != nil {
			t.Errorf("without disk %d: lost are %d", lost, len(got))
		}
	}
}

// One disk that fails doesn't keep the others from being sealed, and no parity is made of what is wrong.
func TestSealOneFails(t *testing.T) {
	s := newSet(t, "4+1", []int{5, 5, 5}, 1)
	bad := s.packsOf(2)[1]
	b := []byte(s.packs[bad])
	b[0] ^= 1
	s.disks[1].must(os.WriteFile(s.disks[1].path(bad), b, 0o644))
	err := s.seal()
	if !errors.Is(err, ErrMedium) || !strings.Contains(err.Error(), "sealing disk 2: ") || strings.Contains(err.Error(), "disk 1") {
		t.Errorf("with a pack that is damaged: %v", err)
	}
	for _, number := range []int{1, 3, 4} {
		s.checkSums(number)
	}
	if s.disks[1].Label().State == Sealed {
		t.Error("sealed all the same")
	}
	s.disks[1].must(os.WriteFile(s.disks[1].path(bad), []byte(s.packs[bad]), 0o644))
	s.disks[0].must(s.seal(2, 4))
	for lost := 1; lost <= 4; lost++ {
		if got := s.check(lost); got != nil {
			t.Errorf("without disk %d: lost are %d", lost, len(got))
		}
	}
	if left, _ := filepath.Glob(s.disks[3].path(".tmp-*")); left != nil {
		t.Errorf("left are %v", left)
	}
}

// A sealed disk whose set has grown is sealed again, with another README.txt. When that doesn't come to its end, the disk is not called sealed.
func TestSealedDiskOfAGrownSet(t *testing.T) {
	s := newSet(t, "off", []int{2}, 0)
	f := s.disks[0]
	o := f.options()
	f.must(Seal(t.Context(), []*Disk{f.Disk}, o))
	ctx, cancel := context.WithCancel(t.Context())
	f.Medium.(*directory).Trace(func(op string) {
		if strings.Contains(op, ReadmeName) {
			cancel()
		}
	})
	o.Disks++
	if err := Seal(ctx, []*Disk{f.Disk}, o); !errors.Is(err, context.Canceled) || f.Label().State == Sealed {
		t.Errorf("%+v, %v", f.Label(), err)
	}
	f.Medium.(*directory).Trace(nil)
	f.must(Seal(t.Context(), []*Disk{f.Disk}, o))
	s.checkSums(1)
}

// BenchmarkSeal is how fast disks are sealed, by the bytes of their packs.
func BenchmarkSeal(b *testing.B) {
	for _, test := range []struct {
		scheme string
		data   int
		across int
	}{{"off", 1, 0}, {"20+1", 1, 0}, {"20+1", 3, 1}} {
		b.Run(fmt.Sprintf("%s,%d+%d disks", test.scheme, test.data, test.across), func(b *testing.B) {
			s := newSetOf(b, test.scheme, slices.Repeat([]int{10}, test.data), test.across, 20<<20, 21<<20, func(int) string { return b.TempDir() })
			bytes := 0
			for _, p := range s.packs {
				bytes += len(p)
			}
			b.SetBytes(int64(bytes))
			for b.Loop() {
				s.disks[0].must(s.seal())
				b.StopTimer()
				for _, f := range s.disks {
					s.disks[0].must(os.RemoveAll(f.path(strings.TrimSuffix(manifest.ParityPrefix(machineID), "/"))))
					f.must(f.Close())
					d, err := Open(f.Path())
					f.must(err)
					f.Disk = d
				}
				b.StartTimer()
			}
		})
	}
}
