package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"waybill/internal/catalog"
	"waybill/internal/cli"
	"waybill/internal/heal"
	"waybill/manifest"
	"waybill/seed/disk"
)

// arrivals tells for each commit how much of what it needs is in the vaults that are read; nil when none is.
func (r *reading) arrivals(ctx context.Context) ([]heal.Arrival, error) {
	there, wanted := map[manifest.Digest]bool{}, map[manifest.Digest]bool{}
	vaults := 0
	for _, t := range r.trees {
		v, err := t.vault(ctx)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		vaults++
		err = t.List(ctx, manifest.PacksPrefix(r.Machine.Machine), func(name string, _ int64) error {
			if _, digest, ok := manifest.ParsePackName(name); ok {
				there[digest] = true
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("listing the packs of %s: %w", t.Path(), err)
		}
		wants, err := heal.Wants(ctx, t, r.Domain, v.ReceiptKey)
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(there, func(d manifest.Digest, _ bool) bool { return wants.Unseen[d] })
		for _, p := range wants.Now {
			wanted[p.Name] = true
			delete(there, p.Name) // something else may lie under its name
		}
	}
	if vaults == 0 {
		return nil, nil
	}
	return heal.Arrivals(&r.Chain, func(d manifest.Digest) bool { return there[d] }, wanted), nil
}

// vault is the tree's document when it is a vault, nil when it is a disk or what a machine keeps.
func (t tree) vault(ctx context.Context) (*manifest.Vault, error) {
	_, err := t.Size(ctx, manifest.ReceiptKeyName)
	if _, lerr := t.Size(ctx, disk.LabelName); err != nil && lerr == nil {
		return nil, nil // but a vault into which a carrier put disks has a label as well
	}
	v, err := manifest.OpenVault(ctx, t)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return v, err
}

// whole tells in a word and in more of them whether all of a point can be restored from the vault.
func (l *pointLine) whole() (state, more string) {
	state = l.State
	if l.Damaged > 0 {
		more += ", damaged: " + cli.Counted(l.Damaged, "file")
		if state == catalog.Complete {
			state = "damaged"
		}
	}
	at := l.Arrival
	if at == nil || at.Missing == 0 {
		return state, more
	}
	transit := at.Missing > at.Wanted && at.Disks > 0
	if l.State == catalog.Complete {
		if state = "incomplete"; transit {
			state = "in transit"
		}
	}
	if transit {
		more += ", in transit"
	}
	if at.Disks > 0 {
		more += fmt.Sprintf(", %d of %s imported", at.Imported, cli.Counted(int64(at.Disks), "disk"))
	} else if n := at.Missing - at.Wanted; n > 0 {
		more += fmt.Sprintf(", %s missing", cli.Counted(int64(n), "pack"))
	}
	if at.Wanted > 0 {
		more += fmt.Sprintf(", %s wanted", cli.Counted(int64(at.Wanted), "pack"))
	}
	return state, more
}
