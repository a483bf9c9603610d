package pack

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/minio/crc64nvme"

	"waybill/manifest"
)

// Keys for tests: what the recovery key and the machine's catalogue key are in life.
var (
	recoveryKey = identity("AGE-SECRET-KEY-1WGV2USY0K3MGS4ESSXAMKDFVKJXZLNA5XQQPKJZC9EVQHTCYACLSTMXN89")
	machineKey  = identity("AGE-SECRET-KEY-1CPL79FKMAA5APN8SQAC4HKZLLSE4D8HMHAQRC2F74ZJKFCD6YESSNJKH7H")
	foreignKey  = identity("AGE-SECRET-KEY-17FA9DC55SDZDN44M5F7S74C9N03MQGDUWN43HEPSKG2R4KHY9UQS8AQVVR")
	dedupeKey   = [32]byte([]byte("a dedupe key for tests, 32 bytes"))
)

func identity(s string) *age.X25519Identity {
	id, err := age.ParseX25519Identity(s)
	if err != nil {
		panic(err)
	}
	return id
}

var errBoom = errors.New("boom")

// A store keeps packs in memory, checks what a Target is promised, and fails where it is told to.
type store struct {
	t    testing.TB
	fail func(op string, n int) error // n counts the op's calls from 1; nil: nothing fails

	mu     sync.Mutex // guards all below
	calls  map[string]int
	packs  map[manifest.Digest][]byte
	listed map[manifest.Digest]manifest.Pack
	open   int // targets neither committed nor aborted
}

func newStore(t testing.TB) *store {
	return &store{t: t, calls: map[string]int{}, packs: map[manifest.Digest][]byte{}, listed: map[manifest.Digest]manifest.Pack{}}
}

func (s *store) call(op string) error {
	s.calls[op]++
	if s.fail != nil {
		return s.fail(op, s.calls[op])
	}
	return nil
}

func (s *store) create(class manifest.Class) (Target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.call("create"); err != nil {
		return nil, err
	}
	s.open++
	return &target{s: s, class: class}, nil
}

type target struct {
	s     *store
	class manifest.Class
	busy  sync.Mutex // held by whoever uses the target: one goroutine at a time
	b     []byte
	ended bool
}

func (t *target) enter() func() {
	if !t.busy.TryLock() {
		t.s.t.Error("two goroutines use a target at once")
		return func() {}
	}
	t.s.mu.Lock()
	if t.ended {
		t.s.t.Error("a target is used after its end")
	}
	return func() { t.s.mu.Unlock(); t.busy.Unlock() }
}

// Write loses half of what it fails to write, like a full disk.
func (t *target) Write(p []byte) (int, error) {
	defer t.enter()()
	if err := t.s.call("write"); err != nil {
		t.b = append(t.b, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	t.b = append(t.b, p...)
	return len(p), nil
}

func (t *target) Commit(p manifest.Pack) error {
	defer t.enter()()
	t.ended = true
	t.s.open--
	if err := t.s.call("commit"); err != nil {
		return err
	}
	crc := crc64nvme.New()
	crc.Write(t.b)
	if p.Name != sha256.Sum256(t.b) || p.MD5 != md5.Sum(t.b) || p.CRC64 != crc.Sum64() || p.Size != int64(len(t.b)) || p.Class != t.class {
		t.s.t.Errorf("pack %.12s is committed under sums or sizes it does not have", p.Name)
	}
	t.s.packs[p.Name], t.s.listed[p.Name] = t.b, p
	return nil
}

func (t *target) Abort() {
	defer t.enter()()
	t.ended = true
	t.s.open--
}

func (s *store) config() Config {
	return Config{Dedupe: dedupeKey, Recovery: recoveryKey.Recipient(), Machine: machineKey.Recipient(), Workers: 2, Level: Fastest, Create: s.create}
}

// readPack opens every frame of a pack and returns its chunks by prefix.
func readPack(b []byte, class manifest.Class, keys Keys) (map[[16]byte][]byte, error) {
	r, table, err := OpenTable(bytes.NewReader(b), int64(len(b)), class, keys, 100)
	if err == nil {
		err = r.CheckHeader()
	}
	if err != nil {
		return nil, err
	}
	found := map[[16]byte][]byte{}
	d := NewDecoder()
	for f, chunks := range table.All() {
		plain, err := r.Frame(d, f, nil)
		if err != nil {
			return nil, err
		}
		for _, c := range chunks {
			found[c.Prefix] = plain[c.Start:][:c.Length]
		}
	}
	return found, nil
}

// chunk makes a chunk of n bytes that compress more or less well, told apart by seed.
func chunk(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	b := make([]byte, n)
	mask := byte(r.Uint32()) | 1
	for i := range b {
		b[i] = byte(r.Uint32()) & mask
	}
	return b
}

// noise makes a chunk that does not compress.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}
