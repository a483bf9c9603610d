package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"waybill/internal/durable"
	"waybill/manifest"
)

// Relabel writes the label of a disk that has lost it. Which one it is, the manifests on it tell, by the packs that are there; a disk
// with parity and no packs is the one number that has none. It is sealed when it has a whole SHA256SUMS. It fails with ErrNoDisk when nothing tells.
func Relabel(ctx context.Context, path string, now time.Time) (Label, error) {
	d, err := durable.Open(path)
	if err != nil {
		return Label{}, fmt.Errorf("opening a disk: %w", err)
	}
	disk := &Disk{Dir: d}
	defer disk.Close()
	l, err := disk.identify(ctx)
	if err != nil {
		return l, fmt.Errorf("finding out which disk %s is: %w", path, err)
	}
	l.Time = now
	return l, disk.SetLabel(l)
}

// identify makes a label of what is on the disk.
func (d *Disk) identify(ctx context.Context) (Label, error) {
	v, err := manifest.OpenVault(ctx, d)
	if errors.Is(err, fs.ErrNotExist) {
		return Label{}, ErrNoDisk
	}
	if err != nil {
		return Label{}, err
	}
	machines, err := manifest.Machines(ctx, d)
	if err != nil {
		return Label{}, err
	}
	if len(machines) != 1 {
		return Label{}, fmt.Errorf("%w: it has %d machines, a disk has one", ErrNoDisk, len(machines))
	}
	l := Label{Vault: v.Vault, Machine: machines[0], State: Filling}
	if err := d.place(ctx, &l); err != nil {
		return l, err
	}
	if b, err := manifest.ReadObject(ctx, d, SumsName, MaxSums); err == nil {
		if _, err := ParseSums(b); err == nil {
			l.State = Sealed
		}
	}
	return l, nil
}

// place finds the disk's set and number.
func (d *Disk) place(ctx context.Context, l *Label) error {
	m, err := manifest.OpenMachine(ctx, d, l.Machine)
	if err != nil {
		return err
	}
	chain, err := manifest.ReadChain(ctx, d, m)
	if err != nil {
		return err
	}
	there := map[manifest.Digest]bool{}
	parity := false
	err = d.List(ctx, "machines/"+string(l.Machine)+"/", func(name string, size int64) error {
		if _, digest, ok := manifest.ParsePackName(name); ok {
			there[digest] = true
			l.Packs++
			l.Bytes += size
		}
		parity = parity || strings.Contains(name, "/parity/")
		return nil
	})
	if err != nil {
		return err
	}
	found, listed := map[int]int{}, map[int]int{} // packs by disk: that are here, and in all
	for _, link := range chain.Links {
		if link.Manifest.Set != "" {
			l.Set, l.Disks = link.Manifest.Set, max(l.Disks, link.Manifest.Disks)
		}
		for _, p := range link.Manifest.Packs {
			listed[p.Disk]++
			if there[p.Name] {
				found[p.Disk]++
			}
		}
	}
	l.Disk, l.Role = number(found, listed, l.Disks, parity)
	if l.Disk == 0 {
		return fmt.Errorf("%w: none of its packs is in its manifests", ErrNoDisk)
	}
	return nil
}

// number is the disk whose packs are here, or, when there are none but parity, the one that has no packs; 0 when nothing tells.
func number(found, listed map[int]int, disks int, parity bool) (n int, role string) {
	for disk, packs := range found {
		if disk > 0 && packs > found[n] {
			n = disk
		}
	}
	if n > 0 || !parity {
		return n, ""
	}
	for disk := 1; disk <= disks; disk++ {
		if listed[disk] > 0 {
			continue
		}
		if n > 0 {
			return 0, ""
		}
		n = disk
	}
	return n, RoleParity
}
