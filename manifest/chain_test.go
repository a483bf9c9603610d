package manifest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

// tree is a Reader in memory.
type tree map[string][]byte

func (r tree) ReadAt(_ context.Context, name string, p []byte, off int64) (int, error) {
	b, ok := r[name]
	if !ok {
		return 0, fs.ErrNotExist
	}
	if n := copy(p, b[min(off, int64(len(b))):]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

func (r tree) Size(_ context.Context, name string) (int64, error) {
	if b, ok := r[name]; ok {
		return int64(len(b)), nil
	}
	return 0, fs.ErrNotExist
}

func (r tree) List(_ context.Context, prefix string, each func(string, int64) error) error {
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if strings.HasPrefix(name, prefix) {
			if err := each(name, int64(len(r[name]))); err != nil {
				return err
			}
		}
	}
	return nil
}

// domain is a vault with one machine and n commits.
func domain(t testing.TB, n int) (tree, *Machine, *Signer) {
	t.Helper()
	s := testSigner(t)
	r := tree{}
	b, err := sampleMachine(s).Encode()
	if err != nil {
		t.Fatal(err)
	}
	r[MachineName(machineID)], r[MachineSignatureName(machineID)] = b, mustSign(t, s, b)
	if r[VaultName], err = sampleVault(s).Encode(); err != nil {
		t.Fatal(err)
	}
	r[MachineKeyName(machineID)], r[RecoveryName] = nil, nil
	m := first()
	for i := range n {
		m.Sequence = i + 1
		m.Previous = r.add(t, s, m)
	}
	machine, err := OpenMachine(t.Context(), r, machineID)
	if err != nil {
		t.Fatal(err)
	}
	return r, machine, s
}

// add commits m.
func (r tree) add(t testing.TB, s *Signer, m *Manifest) Digest {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r[SignatureName(machineID, m.Sequence, Sum(b))] = mustSign(t, s, b)
	r[ManifestName(machineID, m.Sequence)] = b
	return Sum(b)
}

// drop removes all of a commit.
func (r tree) drop(seq int) {
	name := strings.TrimSuffix(ManifestName(machineID, seq), ".json")
	maps.DeleteFunc(r, func(n string, _ []byte) bool { return strings.HasPrefix(n, name) })
}

func numbers(c Chain) (seqs []int) {
	for _, l := range c.Links {
		seqs = append(seqs, l.Manifest.Sequence)
	}
	return seqs
}

func TestReadChain(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(r tree, s *Signer)
		want    []int
		missing []int
		err     error
	}{
		"whole":                   {func(r tree, s *Signer) {}, []int{1, 2, 3, 4, 5}, nil, nil},
		"seed in transit":         {func(r tree, s *Signer) { r.drop(1); r.drop(2) }, []int{3, 4, 5}, []int{1, 2}, nil},
		"gap in the middle":       {func(r tree, s *Signer) { r.drop(3) }, []int{1, 2, 4, 5}, []int{3}, nil},
		"commit not completed":    {func(r tree, s *Signer) { delete(r, ManifestName(machineID, 5)) }, []int{1, 2, 3, 4}, nil, nil},
		"manifest being written":  {func(r tree, s *Signer) { r[ManifestsPrefix(machineID)+".tmp-x"] = nil }, []int{1, 2, 3, 4, 5}, nil, nil},
		"changed":                 {func(r tree, s *Signer) { r[ManifestName(machineID, 2)][200] ^= 1 }, []int{1, 3, 4, 5}, []int{2}, ErrSignature},
		"cut":                     {func(r tree, s *Signer) { r[ManifestName(machineID, 2)] = nil }, []int{1, 3, 4, 5}, []int{2}, ErrSignature},
		"under another's number":  {func(r tree, s *Signer) { r.move(t, s, 2, 6) }, []int{1, 3, 4, 5}, []int{2}, ErrFormat},
		"signature by another":    {func(r tree, s *Signer) { o, _ := NewSigner(); r.resign(t, o, 4) }, []int{1, 2, 3, 5}, []int{4}, ErrSignature},
		"history told otherwise":  {func(r tree, s *Signer) { m := first(); m.Tool = "another"; r.add(t, s, m) }, []int{1, 3, 4, 5}, []int{2}, ErrChain},
		"signed, but no manifest": {func(r tree, s *Signer) { r[ManifestName(machineID, 3)] = []byte("{}\n"); r.resign(t, s, 3) }, []int{1, 2, 4, 5}, []int{3}, ErrFormat},
		"a number from far away": {func(r tree, s *Signer) {
			m := first()
			m.Sequence, m.Previous = MaxSequence, Digest{1}
			r.add(t, s, m)
		}, []int{1, 2, 3, 4, 5}, nil, ErrFormat},
		"another vault's": {func(r tree, s *Signer) {
			m := first()
			m.Vault, m.Sequence, m.Previous = setID, 6, Digest{1}
			r.add(t, s, m)
		}, []int{1, 2, 3, 4, 5}, nil, ErrFormat},
	} {
		r, machine, s := domain(t, 5)
		test.change(r, s)
		c, err := ReadChain(t.Context(), r, machine)
		if !errors.Is(err, test.err) || !slices.Equal(numbers(c), test.want) || !slices.Equal(c.Missing, test.missing) {
			t.Errorf("%s: %v, missing %v, %v", name, numbers(c), c.Missing, err)
		}
	}
}

// move puts a manifest and its signature under another number.
func (r tree) move(t *testing.T, s *Signer, from, to int) {
	b := r[ManifestName(machineID, from)]
	r.drop(from)
	r[ManifestName(machineID, to)] = b
	r.resign(t, s, to)
}

// resign signs a manifest anew.
func (r tree) resign(t *testing.T, s *Signer, seq int) {
	b := r[ManifestName(machineID, seq)]
	r[SignatureName(machineID, seq, Sum(b))] = mustSign(t, s, b)
}

func TestOpenMachine(t *testing.T) {
	name, sigName := MachineName(machineID), MachineSignatureName(machineID)
	for what, test := range map[string]struct {
		change func(r tree, s *Signer)
		want   error
	}{
		"missing":      {func(r tree, s *Signer) { delete(r, name) }, fs.ErrNotExist},
		"no signature": {func(r tree, s *Signer) { delete(r, sigName) }, ErrSignature},
		"changed":      {func(r tree, s *Signer) { r[name] = []byte(strings.Replace(string(r[name]), "db1", "db2", 1)) }, ErrSignature},
		"another's": {func(r tree, s *Signer) {
			m := sampleMachine(s)
			m.Machine = setID
			r[name], _ = m.Encode()
			r[sigName] = mustSign(t, s, r[name])
		}, ErrFormat},
		"huge": {func(r tree, s *Signer) { r[name] = make([]byte, maxDocument+1) }, ErrFormat},
	} {
		r, _, s := domain(t, 0)
		test.change(r, s)
		if _, err := OpenMachine(t.Context(), r, machineID); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestMachinesAndVault(t *testing.T) {
	r, _, s := domain(t, 0)
	if ids, err := Machines(t.Context(), r); err != nil || !slices.Equal(ids, []ID{machineID}) {
		t.Errorf("machines: %v, %v", ids, err)
	}
	if v, err := OpenVault(t.Context(), r); err != nil || v.ReceiptKey != s.Public() {
		t.Errorf("vault: %+v, %v", v, err)
	}
	if _, err := OpenVault(t.Context(), tree{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no vault: %v", err)
	}
}

// short is a Reader whose objects are shorter than it says.
type short struct{ tree }

func (r short) Size(ctx context.Context, name string) (int64, error) {
	n, err := r.tree.Size(ctx, name)
	return n + 1, err
}

func TestReadObjectShort(t *testing.T) {
	if _, err := ReadObject(t.Context(), short{tree{"x": make([]byte, 2*probe)}}, "x", 100<<10); !errors.Is(err, ErrFormat) {
		t.Errorf("an object that ends early: %v", err)
	}
}

func TestChainLost(t *testing.T) {
	r, machine, s := domain(t, 1)
	m := first()
	for i, lost := range [][]Digest{nil, {{1}}, {{1}, {2}}} {
		m.Sequence, m.Lost = i+1, lost
		m.Previous = r.add(t, s, m)
	}
	c, err := ReadChain(t.Context(), r, machine)
	if want := map[Digest]bool{{1}: true, {2}: true}; err != nil || !maps.Equal(c.Lost(), want) {
		t.Errorf("%v, %v", c.Lost(), err)
	}
}
