package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// Relabel writes the label of a disk that has lost it. Which one it is, the manifests on it tell, by the packs that are there; of a disk of parity
// its rows do. It is sealed when it has a whole SHA256SUMS. It fails with ErrNoDisk when nothing tells.
func Relabel(ctx context.Context, path string, now time.Time) (Label, error) {
	m, err := Directory(path)
	if err != nil {
		return Label{}, err
	}
	disk := &Disk{Medium: m}
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
	err = d.List(ctx, manifest.PacksPrefix(l.Machine), func(name string, size int64) error {
		if _, digest, ok := manifest.ParsePackName(name); ok {
			there[digest] = true
			l.Packs++
			l.Bytes += size
		}
		return nil
	})
	if err != nil {
		return err
	}
	found := map[int]int{} // packs that are here, by disk
	for _, link := range chain.Links {
		if link.Manifest.Set != "" {
			l.Set, l.Disks = link.Manifest.Set, max(l.Disks, link.Manifest.Disks)
		}
		for _, p := range link.Manifest.Packs {
			if there[p.Name] {
				found[p.Disk]++
			}
		}
	}
	for disk, packs := range found {
		if disk > 0 && packs > found[l.Disk] {
			l.Disk = disk
		}
	}
	if l.Disk == 0 {
		return d.placeByParity(ctx, l)
	}
	return nil
}

// placeByParity finds the number of a disk of parity: its rows name it.
func (d *Disk) placeByParity(ctx context.Context, l *Label) error {
	groups, _, err := parity.Groups(ctx, l.Machine, []parity.Source{{Name: d.Path(), Reader: d}})
	if err != nil {
		return err
	}
	for _, g := range groups {
		for _, shard := range g.Shards {
			name := manifest.ParityShardName(l.Machine, g.Name, shard.Index)
			if _, err := d.Size(ctx, name); err == nil && g.Across() {
				l.Disk, l.Role = shard.Disk, RoleParity
				return nil
			}
		}
	}
	return fmt.Errorf("%w: neither packs of its manifests nor rows of parity are on it", ErrNoDisk)
}
