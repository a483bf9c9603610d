package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// SealOptions say how disks are sealed. Key, Disks and Now are needed.
type SealOptions struct {
	Key    manifest.PublicKey // of the machine
	Disks  int                // how many the set has
	Host   string
	Now    time.Time
	Scheme parity.Scheme // of the parity within each disk; the zero value makes none, and keeps what is there
	Read   *atomic.Int64 // counts the bytes that are read back; may be nil
}

// Seal makes disks of one set ready to travel, all at once. It checks that each has a commit signed by the machine's key and all packs that
// its commits say it carries, reads everything back from the medium and compares packs with their names. As it reads, it makes the parity within
// each disk and, when there are disks with the role RoleParity among them, across: rows of packs of different disks, as large as each other as can be. What
// was written of parity is read back, too. Then it writes README.txt and SHA256SUMS, and sets the label's state last.
//
// Parity that is there and good is kept. Disks that come later, with all disks of parity, are added to the rows that are there. So it can be done again, after an
// interruption or for a sealed disk, which checks it once more.
//
// A disk that fails doesn't keep the others from being sealed. The error joins one for each disk that failed, "sealing disk N: ...": with ErrMedium when
// it doesn't give back what was written, or with what manifest.ReadChain says.
func Seal(ctx context.Context, disks []*Disk, o SealOptions) error {
	var data, across []*sealing
	pieces := parity.NewBuffers(pieceSize)
	for _, d := range disks {
		s := &sealing{Disk: d, o: o, pieces: pieces, digests: map[string]manifest.Digest{}, written: map[string]manifest.Digest{}}
		if d.label.Role == RoleParity {
			across = append(across, s)
		} else {
			data = append(data, s)
		}
	}
	all := slices.Concat(data, across)
	each(all, func(s *sealing) error { return s.begin(ctx) })
	windows := parity.NewBuffers(windowFor(all))
	for _, s := range all {
		s.windows = windows
	}
	each(data, func(s *sealing) error { return s.plan(ctx) })
	if alive := living(across); len(alive) > 0 {
		if err := makeRows(ctx, living(data), alive, o.Scheme); err != nil {
			each(alive, func(*sealing) error { return err })
		}
	}
	each(data, func(s *sealing) error { return s.finish(ctx) })
	each(across, func(s *sealing) error {
		if err := s.plan(ctx); err != nil {
			return err
		}
		return s.finish(ctx)
	})
	var errs []error
	for _, s := range all {
		if s.err != nil {
			errs = append(errs, fmt.Errorf("sealing disk %d: %w", s.label.Disk, s.err))
		}
	}
	return errors.Join(errs...)
}

const (
	pieceSize = 1 << 20
	// maxWindow is how much is read of a file before the next of its group is: a disk that turns must not lose its time with seeking. There is one such window
	// in memory for each shard of a group, and for the shards of two rows.
	maxWindow = 16 << 20
)

// windowFor is how large windows are: as the largest pack, if that is small.
func windowFor(disks []*sealing) int {
	largest := int64(1)
	for _, s := range disks {
		for _, link := range s.chain.Links {
			for _, p := range link.Manifest.Packs {
				largest = max(largest, p.Size)
			}
		}
	}
	return int(min((largest+pieceSize-1)/pieceSize*pieceSize, maxWindow))
}

// A sealing is one disk being sealed.
type sealing struct {
	*Disk
	o       SealOptions
	pieces  *parity.Buffers // for reading
	windows *parity.Buffers // for encoding
	chain   manifest.Chain
	groups  [][]parity.Member          // of parity within the disk that are to be made
	written map[string]manifest.Digest // parity, by name: what was written. One goroutine at a time

	mu      sync.Mutex
	digests map[string]manifest.Digest // what was read from the medium; guarded by mu, as is err
	err     error                      // the first; the disk is given up with it
}

// each does something to all disks that have not failed, at once.
func each(disks []*sealing, do func(*sealing) error) {
	var wg sync.WaitGroup
	for _, s := range living(disks) {
		wg.Go(func() { s.fail(do(s)) })
	}
	wg.Wait()
}

func living(disks []*sealing) (alive []*sealing) {
	for _, s := range disks {
		if !s.failed() {
			alive = append(alive, s)
		}
	}
	return alive
}

func (s *sealing) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *sealing) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// begin checks the commits and writes README.txt.
func (s *sealing) begin(ctx context.Context) (err error) {
	if s.chain, err = s.commits(ctx, s.o.Key); err != nil {
		return err
	}
	if err := s.Sweep(); err != nil {
		return err
	}
	text := readme(s.newLabel(), s.o.Key, s.chain.Last())
	if there, err := manifest.ReadObject(ctx, s, ReadmeName, maxLabel); err == nil && bytes.Equal(there, text) {
		return nil
	}
	if err := s.unseal(); err != nil {
		return err
	}
	return s.Replace(ReadmeName, text)
}

func (s *sealing) newLabel() Label {
	l := s.label
	l.Disks, l.Host, l.Time, l.Parity = s.o.Disks, s.o.Host, s.o.Now, s.o.Scheme.String()
	return l
}

// finish makes the groups that are left, reads the rest back, and sets the label.
func (s *sealing) finish(ctx context.Context) error {
	for _, members := range s.groups {
		s.makeGroup(ctx, members)
	}
	if s.failed() {
		return nil
	}
	sums, err := s.sums(ctx)
	if err != nil {
		return err
	}
	l := s.newLabel()
	if l.Packs, l.Bytes, err = s.account(s.chain, sums); err != nil {
		return err
	}
	if err := s.Replace(SumsName, encodeSums(sums)); err != nil {
		return err
	}
	l.State = Sealed
	return s.setSealed(l)
}

// commits reads the chain of the disk's machine.
func (d *Disk) commits(ctx context.Context, key manifest.PublicKey) (manifest.Chain, error) {
	m, err := manifest.OpenMachine(ctx, d, d.label.Machine)
	if err != nil {
		return manifest.Chain{}, err
	}
	if m.SigningKey != key {
		return manifest.Chain{}, fmt.Errorf("%w: machine.json names the key %s, the machine has %s", ErrForeign, m.SigningKey, key)
	}
	chain, err := manifest.ReadChain(ctx, d, m)
	if err == nil && len(chain.Links) == 0 {
		err = errors.New("no commit is on it")
	}
	return chain, err
}

// account makes sure that every pack is what its name says, that parity is what was written, and that nothing is missing that the disk should
// carry. It returns the number and bytes of the packs.
func (s *sealing) account(chain manifest.Chain, sums []Sum) (packs int, bytes int64, err error) {
	sizes, parity := map[manifest.Digest]int64{}, maps.Clone(s.written)
	for _, sum := range sums {
		if written, ok := parity[sum.Name]; ok {
			if sum.Digest != written {
				return 0, 0, fmt.Errorf("%w: %s has the SHA-256 %s, %s was written", ErrMedium, sum.Name, sum.Digest, written)
			}
			delete(parity, sum.Name)
		}
		_, digest, ok := manifest.ParsePackName(sum.Name)
		if !ok {
			continue
		}
		if err := proves(sum.Name, sum.Digest); err != nil {
			return 0, 0, err
		}
		sizes[digest] = sum.size
		bytes += sum.size
	}
	for name := range parity {
		return 0, 0, fmt.Errorf("%w: %s is not there", ErrMedium, name)
	}
	lost := chain.Lost()
	for _, l := range chain.Links {
		for _, p := range l.Manifest.Packs {
			if lost[p.Name] {
				continue // and stored again
			}
			if size, ok := sizes[p.Name]; p.Disk == s.label.Disk && (!ok || size != p.Size) {
				return 0, 0, fmt.Errorf("%w: pack %s of commit %d is not there as it was written", ErrMedium, p.Name, l.Manifest.Sequence)
			}
		}
	}
	return len(sizes), bytes, nil
}

// proves compares a pack's digest with its name; other files are fine.
func proves(name string, got manifest.Digest) error {
	if _, digest, ok := manifest.ParsePackName(name); ok && got != digest {
		return fmt.Errorf("%w: %s has the SHA-256 %s", ErrMedium, name, got)
	}
	return nil
}
