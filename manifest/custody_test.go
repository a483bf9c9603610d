package manifest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// memStore is a Store in memory.
type memStore struct {
	mu sync.Mutex
	tree
}

func (s *memStore) Put(_ context.Context, name string, body io.ReadSeeker) error {
	b, err := io.ReadAll(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.tree[name]; ok {
		return fs.ErrExist
	}
	s.tree[name] = b
	return err
}

func (s *memStore) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree.ReadAt(ctx, name, p, off)
}

func (s *memStore) Size(ctx context.Context, name string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree.Size(ctx, name)
}

func (s *memStore) List(ctx context.Context, prefix string, each func(string, int64) error) error {
	s.mu.Lock()
	t := maps.Clone(s.tree)
	s.mu.Unlock()
	return t.List(ctx, prefix, each)
}

func sampleCustody(s *Signer) Custody {
	return Custody{Vault: vaultID, Machine: machineID, Set: setID, Disk: 3, Number: 2, Previous: Sum([]byte("1")), Event: EventSealed, Time: when,
		Host: "db1", Tool: "waybill 0.1", Key: s.Public(), Serial: "WD-WX1", Note: "UPS 1Z999AA1 <to the vault>", Packs: 7, Bytes: 1 << 40}
}

func TestCustodyGolden(t *testing.T) {
	s := testSigner(t)
	want := sampleCustody(s)
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "custody.json", b)
	want.Digest = Sum(b)
	if c, err := ParseCustody(b); err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, %v", c, err)
	}
	if c, ok := ParseCustodyName(CustodyName(want)); !ok || c.Place() != want.Place() {
		t.Errorf("the name %s: %+v", CustodyName(want), c)
	}
	prefix := CustodyPrefix(machineID, setID, 3)
	for _, name := range []string{"", prefix, prefix + "1.json", prefix + "0000.json", prefix + "0001.minisig", prefix + "+001.json", prefix + "0001.json/",
		strings.Replace(prefix, "-0003", "-0000", 1) + "0001.json", strings.Replace(prefix, "-0003", "_0003", 1) + "0001.json"} {
		if _, ok := ParseCustodyName(name); ok {
			t.Errorf("%q passes for an entry", name)
		}
	}
}

func TestCustodyRefused(t *testing.T) {
	for name, change := range map[string]func(c *Custody){
		"no set":              func(c *Custody) { c.Set = "" },
		"disk 0":              func(c *Custody) { c.Disk = 0 },
		"number 0":            func(c *Custody) { c.Number = 0 },
		"too many":            func(c *Custody) { c.Number = maxCustody + 1 },
		"first after another": func(c *Custody) { c.Number = 1 },
		"second after none":   func(c *Custody) { c.Previous = Digest{} },
		"no event":            func(c *Custody) { c.Event = "" },
		"event of two words":  func(c *Custody) { c.Event = "eaten up" },
		"no key":              func(c *Custody) { c.Key = "" },
		"note of two lines":   func(c *Custody) { c.Note = "a\nb" },
		"long note":           func(c *Custody) { c.Note = strings.Repeat("ü", maxNote+1) },
		"long serial":         func(c *Custody) { c.Serial = strings.Repeat("x", maxNote+1) },
		"negative packs":      func(c *Custody) { c.Packs = -1 },
	} {
		c := sampleCustody(testSigner(t))
		change(&c)
		if _, err := c.Encode(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := sampleCustody(testSigner(t))
	c.Note = strings.Repeat("ü", maxNote)
	if _, err := c.Encode(); err != nil {
		t.Errorf("a note of %d characters: %v", maxNote, err)
	}
}

// events adds entries of the machine and of the vault in turn.
func events(t *testing.T, s Store, signers []*Signer, list ...Event) (out []Custody) {
	t.Helper()
	for i, e := range list {
		c, err := AppendCustody(t.Context(), s, Custody{Vault: vaultID, Machine: machineID, Set: setID, Disk: 3, Event: e, Time: when, Host: "h"}, signers[i%len(signers)])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func custodySigners(t *testing.T) ([]*Signer, []PublicKey) {
	t.Helper()
	other, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	s := []*Signer{testSigner(t), other}
	return s, []PublicKey{s[0].Public(), s[1].Public()}
}

func TestCustodyLog(t *testing.T) {
	signers, keys := custodySigners(t)
	s := &memStore{tree: tree{}}
	want := events(t, s, signers, EventWritten, EventReceived, EventImported)
	log, err := ReadCustody(t.Context(), s, machineID, setID, 3, keys...)
	if err != nil || !reflect.DeepEqual(log, want) {
		t.Fatalf("%+v, %v", log, err)
	}
	if log[2].Previous != log[1].Digest || log[2].Number != 3 || log[1].Key != keys[1] {
		t.Errorf("the chain: %+v", log)
	}
	if none, err := ReadCustody(t.Context(), s, machineID, setID, 4, keys...); err != nil || len(none) != 0 {
		t.Errorf("another disk: %v, %v", none, err)
	}
}

// Whatever happens to an entry is found, and the others are still read.
func TestCustodyDamaged(t *testing.T) {
	signers, keys := custodySigners(t)
	for name, test := range map[string]struct {
		damage func(t tree, log []Custody)
		keys   []PublicKey
		want   error
		good   int
	}{
		"changed":      {func(t tree, l []Custody) { t[CustodyName(l[1])] = bytes.ToUpper(t[CustodyName(l[1])]) }, keys, ErrSignature, 1}, // the next doesn't follow
		"gone":         {func(t tree, l []Custody) { delete(t, CustodyName(l[1])) }, keys, fs.ErrNotExist, 2},
		"unsigned":     {func(t tree, l []Custody) { delete(t, CustodySignatureName(l[1])) }, keys, ErrSignature, 2},
		"by a third":   {func(t tree, l []Custody) {}, keys[:1], ErrSignature, 2},
		"moved":        {func(t tree, l []Custody) { t[CustodyName(l[1])] = t[CustodyName(l[0])] }, keys, ErrSignature, 1},
		"out of order": {func(t tree, l []Custody) { replaceCustody(t, l[2], signers[0], Sum([]byte("x"))) }, keys, ErrChain, 2},
		"too large":    {func(t tree, l []Custody) { t[CustodyName(l[1])] = make([]byte, maxDocument+1) }, keys, ErrFormat, 2},
	} {
		s := &memStore{tree: tree{}}
		test.damage(s.tree, events(t, s, signers, EventWritten, EventReceived, EventImported))
		log, err := ReadCustody(t.Context(), s, machineID, setID, 3, test.keys...)
		var at *CustodyError
		if !errors.Is(err, test.want) || !errors.As(err, &at) || at.Number < 2 || len(log) != test.good {
			t.Errorf("%s: %d good, %v", name, len(log), err)
		}
	}
}

// replaceCustody puts an entry in the place of another that follows on something else.
func replaceCustody(t tree, c Custody, s *Signer, previous Digest) {
	delete(t, CustodyName(c))
	c.Previous = previous
	if err := putCustody(context.Background(), &memStore{tree: t}, &c, s); err != nil {
		panic(err)
	}
}

// Entries that are written at once all get their place.
func TestCustodyAtOnce(t *testing.T) {
	signers, keys := custodySigners(t)
	s := &memStore{tree: tree{}}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			c := Custody{Vault: vaultID, Machine: machineID, Set: setID, Disk: 3, Event: EventVerified, Time: when, Packs: i}
			if _, err := AppendCustody(t.Context(), s, c, signers[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if log, err := ReadCustody(t.Context(), s, machineID, setID, 3, keys...); err != nil || len(log) != 8 {
		t.Errorf("%d entries, %v", len(log), err)
	}
}

// An entry that must have its place, or none, has none when another is there.
func TestCustodyPlace(t *testing.T) {
	s := &memStore{tree: tree{}}
	signer := testSigner(t)
	first := Custody{Vault: vaultID, Machine: machineID, Set: setID, Disk: 3, Event: EventVerified, Time: when, Number: 1}
	head, err := AppendCustody(t.Context(), s, first, signer)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := AppendCustody(t.Context(), s, first, signer); err != nil || again != head {
		t.Errorf("the same again: %+v %v", again, err)
	}
	other := first
	other.Packs = 7
	if _, err := AppendCustody(t.Context(), s, other, signer); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another in its place: %v", err)
	}
	other.Number, other.Previous = 2, head.Digest
	if _, err := AppendCustody(t.Context(), s, other, signer); err != nil {
		t.Error(err)
	}
	if log, err := ReadCustody(t.Context(), s, machineID, setID, 3, signer.Public()); err != nil || len(log) != 2 {
		t.Errorf("%d entries, %v", len(log), err)
	}
}

// A name that is taken by what no list shows is an error, not a loop.
func TestCustodyTaken(t *testing.T) {
	s := &hidden{memStore{tree: tree{}}}
	c := Custody{Vault: vaultID, Machine: machineID, Set: setID, Disk: 3, Event: EventVerified, Time: when}
	for _, want := range []error{nil, fs.ErrExist} {
		if _, err := AppendCustody(t.Context(), s, c, testSigner(t)); !errors.Is(err, want) {
			t.Fatal(err)
		}
		c.Packs++
	}
}

type hidden struct{ memStore }

func (*hidden) List(context.Context, string, func(string, int64) error) error { return nil }

func TestCopyCustody(t *testing.T) {
	signers, keys := custodySigners(t)
	disk, vault := &memStore{tree: tree{}}, &memStore{tree: tree{}}
	events(t, disk, signers, EventWritten, EventSealed)
	if n, err := CopyCustody(t.Context(), vault, disk, machineID, setID, 3, keys...); n != 2 || err != nil {
		t.Fatalf("%d copied, %v", n, err)
	}
	if n, err := CopyCustody(t.Context(), vault, disk, machineID, setID, 3, keys...); n != 0 || err != nil {
		t.Errorf("again: %d copied, %v", n, err)
	}
	events(t, vault, signers, EventReceived)
	if n, err := CopyCustody(t.Context(), disk, vault, machineID, setID, 3, keys...); n != 1 || err != nil || !reflect.DeepEqual(disk.tree, vault.tree) {
		t.Errorf("back: %d copied, %v", n, err)
	}
	events(t, vault, signers, EventImported)
	events(t, disk, signers, EventErased, EventWritten)
	if n, err := CopyCustody(t.Context(), vault, disk, machineID, setID, 3, keys...); n != 0 || !errors.Is(err, ErrChain) {
		t.Errorf("logs that grew apart: %d copied, %v", n, err)
	}
	forged := &memStore{tree: tree{}}
	if n, err := CopyCustody(t.Context(), forged, disk, machineID, setID, 3, keys[1]); n != 0 || !errors.Is(err, ErrSignature) || len(forged.tree) != 0 {
		t.Errorf("by a key that is not known: %d copied, %v", n, err)
	}
}
