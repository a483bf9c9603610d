// Package savetest is for tests of the engine: a vault in memory, which can be read back without opening a domain.
package savetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"filippo.io/age"

	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/pack/index"
	"waybill/internal/save"
	"waybill/manifest"
)

// Memory is a vault in memory: a save.Destination, the save.Known of it, and the catalog.Loader.
type Memory struct {
	Writer save.Writer
	Keys   pack.Keys
	Listed []save.Commit // what was published

	mu      sync.Mutex
	packs   map[manifest.Digest][]byte
	chunks  map[manifest.Class]map[index.Key]place
	frames  map[frameOf][]byte // opened by what reads back
	decoder *pack.Decoder
	hasher  *pack.Hasher
}

type frameOf struct {
	pack   manifest.Digest
	number uint32
}

// A place is where a chunk is.
type place struct {
	pack  manifest.Digest
	frame pack.Frame
	chunk pack.Chunk
}

// New makes an empty vault and a machine with keys of its own.
func New() (*Memory, error) {
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	catalogue, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	m := &Memory{Keys: pack.Keys{Recovery: recovery, Machine: catalogue}, packs: map[manifest.Digest][]byte{}, frames: map[frameOf][]byte{},
		chunks: map[manifest.Class]map[index.Key]place{manifest.Data: {}, manifest.Catalogue: {}}, decoder: pack.NewDecoder()}
	m.Writer = save.Writer{Vault: "0a000000-0000-4000-8000-000000000001", Machine: "0b000000-0000-4000-8000-000000000002",
		Recovery: recovery.Recipient(), Catalogue: catalogue.Recipient(), Dedupe: [32]byte{1}}
	m.hasher = pack.NewHasher(m.Writer.Dedupe)
	if m.Writer.Signer, err = manifest.NewSigner(); err != nil {
		return nil, err
	}
	m.Writer.Cutter, err = cut.New([32]byte{2}, cut.Params{})
	return m, err
}

// Create implements save.Destination.
func (m *Memory) Create(manifest.Class) (pack.Target, error) { return &target{memory: m}, nil }

// A target is a pack on its way.
type target struct {
	bytes.Buffer
	memory *Memory
}

func (t *target) Commit(p manifest.Pack) error {
	t.memory.mu.Lock()
	defer t.memory.mu.Unlock()
	t.memory.packs[p.Name] = t.Bytes()
	return nil
}

func (t *target) Abort() {}

// Publish implements save.Destination.
func (m *Memory) Publish(_ context.Context, c save.Commit) error {
	m.Listed = append(m.Listed, c)
	return nil
}

// Of implements save.Known.
func (m *Memory) Of(class manifest.Class) pack.Known { return known{m, class} }

type known struct {
	memory *Memory
	class  manifest.Class
}

func (k known) Has(prefix index.Key) bool {
	k.memory.mu.Lock()
	defer k.memory.mu.Unlock()
	_, ok := k.memory.chunks[k.class][prefix]
	return ok
}

// Committed implements save.Known.
func (m *Memory) Committed(_ manifest.Digest, packs []pack.Finished) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range packs {
		for f, chunks := range p.Table.All() {
			for _, c := range chunks {
				m.chunks[p.Class][index.Key(c.Prefix)] = place{p.Name, f, c}
			}
		}
	}
	return nil
}

// Pack is the bytes of a pack.
func (m *Memory) Pack(name manifest.Digest) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.packs[name]
}

// Chunk reads a chunk of a committed pack.
func (m *Memory) Chunk(class manifest.Class, id pack.ID) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.chunks[class][index.Key(id.Prefix())]
	if !ok {
		return nil, fmt.Errorf("%s chunk %v is in no commit", class, id)
	}
	frame, ok := m.frames[frameOf{at.pack, at.frame.Number}]
	if !ok {
		b := m.packs[at.pack]
		r, err := pack.Open(bytes.NewReader(b), int64(len(b)), class, m.Keys)
		if err != nil {
			return nil, err
		}
		if frame, err = r.Frame(m.decoder, at.frame, nil); err != nil {
			return nil, err
		}
		m.frames[frameOf{at.pack, at.frame.Number}] = frame
	}
	b := frame[at.chunk.Start:][:at.chunk.Length]
	if m.hasher.Sum(b) != id {
		return nil, fmt.Errorf("%s chunk %v is not what it should be", class, id)
	}
	return b, nil
}

// Load implements catalog.Loader.
func (m *Memory) Load(_ context.Context, id pack.ID) ([]byte, error) {
	return m.Chunk(manifest.Catalogue, id)
}

// Config is a run of that machine, based on a point of it unless last is nil.
func (m *Memory) Config(last *save.Result, roots ...string) save.Config {
	cfg := save.Config{Roots: roots, Writer: m.Writer, Destination: m, Known: m, Tool: "test", Host: "host", Progress: &save.Progress{}}
	if last != nil {
		cfg.Base = &save.Base{ID: last.ID, Point: last.Point, Loader: m}
		cfg.Writer.Sequence, cfg.Writer.Head = last.Manifest.Sequence, last.ID
	}
	return cfg
}
