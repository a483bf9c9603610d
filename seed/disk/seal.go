package disk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
)

// Seal makes a disk ready to travel. It checks that the disk has a commit signed by the machine's key and all packs that
// its commits say it carries, reads everything back from the medium and compares packs with their names, writes README.txt and
// SHA256SUMS, and sets the label's state last. What it finds wrong fails with ErrMedium, or with what manifest.ReadChain
// says. Read, if not nil, counts the bytes that were read. Sealing a sealed disk checks it once more.
func (d *Disk) Seal(ctx context.Context, key manifest.PublicKey, disks int, host string, now time.Time, read *atomic.Int64) error {
	l := d.label
	l.Disks, l.Host, l.Time = disks, host, now
	if err := d.seal(ctx, l, key, read); err != nil {
		return fmt.Errorf("sealing disk %d: %w", l.Disk, err)
	}
	return nil
}

func (d *Disk) seal(ctx context.Context, l Label, key manifest.PublicKey, read *atomic.Int64) error {
	chain, err := d.commits(ctx, key)
	if err != nil {
		return err
	}
	last := chain.Last()
	if err := d.Replace(ReadmeName, readme(l, key, last)); err != nil {
		return err
	}
	sums, err := d.sums(ctx, read)
	if err != nil {
		return err
	}
	if l.Packs, l.Bytes, err = d.account(chain, sums); err != nil {
		return err
	}
	if err := d.Replace(SumsName, encodeSums(sums)); err != nil {
		return err
	}
	l.State = Sealed
	return d.SetLabel(l)
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

// sums hashes every file but those that change later.
func (d *Disk) sums(ctx context.Context, read *atomic.Int64) ([]Sum, error) {
	var sums []Sum
	err := d.List(ctx, "", func(name string, size int64) error {
		if name != LabelName && name != SumsName {
			sums = append(sums, Sum{Name: name, size: size})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(d.readers())
	for i := range sums {
		g.Go(func() (err error) {
			if ctx.Err() == nil {
				sums[i].Digest, err = d.sum(ctx, sums[i], read)
			}
			return errors.Join(ctx.Err(), err)
		})
	}
	return sums, g.Wait()
}

// readers is how many files are best read at once.
func (d *Disk) readers() int {
	if d.Rotating() {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// sum hashes a file as it is on the medium, as far as the system lets its cache be passed by.
func (d *Disk) sum(ctx context.Context, s Sum, read *atomic.Int64) (sum manifest.Digest, err error) {
	f, err := d.OpenUncached(s.Name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for err == nil {
		var n int
		n, err = f.Read(buf)
		h.Write(buf[:n])
		if read != nil {
			read.Add(int64(n))
		}
		if err == nil {
			err = ctx.Err()
		}
	}
	if ctx.Err() != nil {
		return sum, ctx.Err()
	}
	if err != io.EOF {
		return sum, fmt.Errorf("%w: %w", ErrMedium, err)
	}
	return manifest.Digest(h.Sum(nil)), nil
}

// account makes sure that every pack is what its name says, and that none is missing that the disk should carry. It
// returns their number and bytes.
func (d *Disk) account(chain manifest.Chain, sums []Sum) (packs int, bytes int64, err error) {
	sizes := map[manifest.Digest]int64{}
	for _, s := range sums {
		_, digest, ok := manifest.ParsePackName(s.Name)
		if !ok {
			continue
		}
		if s.Digest != digest {
			return 0, 0, fmt.Errorf("%w: %s has the SHA-256 %s", ErrMedium, s.Name, s.Digest)
		}
		sizes[digest] = s.size
		bytes += s.size
	}
	for _, l := range chain.Links {
		for _, p := range l.Manifest.Packs {
			if size, ok := sizes[p.Name]; p.Disk == d.label.Disk && (!ok || size != p.Size) {
				return 0, 0, fmt.Errorf("%w: pack %s of commit %d is not there as it was written", ErrMedium, p.Name, l.Manifest.Sequence)
			}
		}
	}
	return len(sizes), bytes, nil
}
