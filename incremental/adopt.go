package incremental

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"

	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/manifest"
)

// A Ledger remembers, on this machine, the packs that were sent and are in no commit yet: their names are random, so that nothing else would
// tell whose they are. It is a hint: a pack that is not in the vault after all is sent once more, and so is what the ledger forgot.
type Ledger interface {
	Add(manifest.Pack) error // may be called by several goroutines at once
	Packs() ([]manifest.Pack, error)
	Clear() error
}

// note tells the ledger of a pack that is about to be sent: were it told afterwards, what was sent just before the machine stopped, or
// whose answer was lost, would be sent again.
func (v *wire) note(p manifest.Pack) error {
	if v.ledger == nil {
		return nil
	}
	return v.ledger.Add(p)
}

// forget is for when a commit lists all packs. That the ledger goes on remembering them is no reason to call a backup failed that is there: what a
// commit lists is passed over when the ledger is read next.
func (v *wire) forget() {
	if v.ledger != nil {
		v.ledger.Clear()
	}
}

// lookups is how many packs are looked for at once.
const lookups = 8

// adopt returns the packs that a failed run sent, as far as they are in the vault and can be opened. The ledger has only them from then on.
func (v *wire) adopt(ctx context.Context, d *domain.Domain) ([]pack.Finished, error) {
	if v.ledger == nil {
		return nil, nil
	}
	noted, err := v.ledger.Packs()
	if err != nil {
		return nil, err
	}
	adopted, err := v.find(ctx, d, unlisted(d, noted))
	if err != nil {
		return nil, fmt.Errorf("looking for the packs that an interrupted run sent: %w", err)
	}
	if err := v.ledger.Clear(); err != nil {
		return nil, err
	}
	for _, p := range adopted {
		if err := v.ledger.Add(p.Pack); err != nil {
			return nil, err
		}
	}
	return adopted, nil
}

// unlisted is those of the packs that are in no commit, each once.
func unlisted(d *domain.Domain, packs []manifest.Pack) (some []manifest.Pack) {
	seen := map[manifest.Digest]bool{}
	for _, link := range d.Chain.Links {
		for _, p := range link.Manifest.Packs {
			seen[p.Name] = true
		}
	}
	for _, p := range packs {
		if !seen[p.Name] {
			seen[p.Name] = true
			some = append(some, p)
		}
	}
	return some
}

// find reads the tables of the packs that are there.
func (v *wire) find(ctx context.Context, d *domain.Domain, packs []manifest.Pack) (found []pack.Finished, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	for _, p := range packs {
		g.Go(func() error {
			t, err := d.TableIn(ctx, v.vault, p)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, pack.ErrDamaged) || errors.Is(err, pack.ErrKey) {
				return nil // it was not sent, or is of no use: what was in it is sent again
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found = append(found, pack.Finished{Pack: p, Table: t})
			return nil
		})
	}
	return found, g.Wait()
}
