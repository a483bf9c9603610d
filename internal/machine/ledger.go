package machine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"waybill/manifest"
)

// A Ledger remembers packs that were finished and are in no commit yet, in a file of a line each in the state's cache. It is a
// hint: a line that a crash cut short is passed over, and what is forgotten is written once more. It is safe for concurrent use.
type Ledger struct {
	path string
	mu   sync.Mutex // held while the file is written
}

// A line is a pack as the ledger has it, without the manifest's form.
type line manifest.Pack

// Ledger is that of packs on the disks of a seed.
func (s *State) Ledger() *Ledger { return &Ledger{path: s.path("cache/finished-packs.jsonl")} }

// Sent is that of packs which were sent to the vault, or were about to be.
func (s *State) Sent() *Ledger { return &Ledger{path: s.path("cache/sent-packs.jsonl")} }

// Add notes a pack. It is durable on return.
func (l *Ledger) Add(p manifest.Pack) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := json.Marshal(line(p))
	if err != nil {
		return l.failed(err)
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return l.failed(err)
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return l.failed(err)
}

// maxLedger is how many bytes of a ledger are read: a run finishes some thousand packs between two commits.
const maxLedger = 64 << 20

// Packs are those that were noted since Clear.
func (l *Ledger) Packs() ([]manifest.Pack, error) {
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, l.failed(err)
	}
	defer f.Close()
	var packs []manifest.Pack
	lines := bufio.NewScanner(io.LimitReader(f, maxLedger))
	for lines.Scan() {
		var p line
		if json.Unmarshal(lines.Bytes(), &p) == nil && !p.Name.IsZero() && p.Size > 0 {
			packs = append(packs, manifest.Pack(p))
		}
	}
	return packs, nil
}

// Clear forgets all of them.
func (l *Ledger) Clear() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.failed(err)
}

func (l *Ledger) failed(err error) error {
	if err != nil {
		err = fmt.Errorf("noting the packs that are finished: %w", err)
	}
	return err
}
