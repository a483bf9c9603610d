package heal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/manifest"
)

type chunk = pack.ID

// A List is the want list of a vault.
type List struct {
	Now   []manifest.Pack // to be stored again, ascending by name
	Later []manifest.Pack // the same, but a disk of parity that has not arrived may still mend them without losing what has changed since
	Disks []int           // which disks that are, ascending: no commit has packs on them

	Unseen map[manifest.Digest]bool // packs of disks that no receipt calls good: if they are in the vault, a carrier put them there, and nobody has verified them
}

// Wants is the want list of the machine's vault: packs of the chain that no commit has settled, that the vault has
// not, and that one of its receipts names missing though it read what should carry them. A disk on its way is no
// loss: an absent pack counts only when the receipt says that its disk had arrived, or, where it is of
// no one set, that part of what the disk carries was there.
//
// A receipt that is not signed under key, the vault's receipt key as this machine knows it, asks for nothing.
func Wants(ctx context.Context, vault manifest.Reader, d *domain.Domain, key manifest.PublicKey) (List, error) {
	return WantsOf(ctx, vault, d.Machine, &d.Chain, key)
}

// WantsOf is Wants for who has no domain, only a machine's chain.
func WantsOf(ctx context.Context, vault manifest.Reader, m *manifest.Machine, chain *manifest.Chain, key manifest.PublicKey) (List, error) {
	receipts, err := readReceipts(ctx, vault, m, key)
	if err != nil || len(receipts) == 0 {
		return List{Unseen: unseen(nil, chain)}, err
	}
	places := map[manifest.Digest]place{}
	disks := map[carrier]int{}
	lost := chain.Lost()
	for _, link := range chain.Links {
		for _, p := range link.Manifest.Packs {
			at := carrier{link.Manifest.Set, p.Disk}
			disks[at]++
			if !lost[p.Name] {
				places[p.Name] = place{p, at}
			}
		}
	}
	wanted := map[manifest.Digest]manifest.Pack{}
	arrived := map[carrier]bool{}
	for _, r := range receipts {
		for _, name := range named(r, places, disks) {
			wanted[name] = places[name].Pack
		}
		for _, n := range r.Arrived {
			arrived[carrier{r.Set, n}] = true
		}
	}
	all, err := Absent(ctx, vault, m.Machine, slices.Collect(maps.Values(wanted)))
	if err != nil {
		return List{}, err
	}
	for _, name := range spoiled(receipts, chain) {
		if p, ok := wanted[name]; ok && !slices.ContainsFunc(all, func(a manifest.Pack) bool { return a.Name == name }) {
			all = append(all, p)
		}
	}
	sortByName(all)
	l := sortOut(all, places, parityAway(chain, disks, arrived))
	l.Unseen = unseen(receipts, chain)
	return l, nil
}

// parityAway are the disks of each set that carry no packs, so parity, as far as one can tell, and that have not arrived.
func parityAway(c *manifest.Chain, disks map[carrier]int, arrived map[carrier]bool) map[manifest.ID][]int {
	number := map[manifest.ID]int{}
	for _, link := range c.Links {
		m := link.Manifest
		number[m.Set] = max(number[m.Set], m.Disks)
	}
	away := map[manifest.ID][]int{}
	for set, n := range number {
		for i := 1; i <= n; i++ {
			if at := (carrier{set, i}); disks[at] == 0 && !arrived[at] {
				away[set] = append(away[set], i)
			}
		}
	}
	return away
}

// sortOut puts off what disks that are away may mend.
func sortOut(all []manifest.Pack, places map[manifest.Digest]place, away map[manifest.ID][]int) (l List) {
	for _, p := range all {
		disks := away[places[p.Name].at.set]
		if len(disks) == 0 {
			l.Now = append(l.Now, p)
			continue
		}
		l.Later, l.Disks = append(l.Later, p), append(l.Disks, disks...)
	}
	slices.Sort(l.Disks)
	l.Disks = slices.Compact(l.Disks)
	return l
}

// A carrier is a disk of a set.
type carrier struct {
	set  manifest.ID
	disk int
}

type place struct {
	manifest.Pack
	at carrier
}

// named are the packs that a receipt calls lost.
func named(r *manifest.Receipt, places map[manifest.Digest]place, disks map[carrier]int) (names []manifest.Digest) {
	missing := map[carrier]int{}
	for _, w := range r.Missing {
		if p, ok := places[w.Name]; ok {
			missing[p.at]++
		}
	}
	for _, w := range r.Missing {
		p, ok := places[w.Name]
		if !ok {
			continue
		}
		arrived := r.Set == p.at.set && slices.Contains(r.Arrived, p.at.disk)
		inPart := r.Set == "" && missing[p.at] < disks[p.at]
		if w.Reason == manifest.DamagedPack || w.Reason == manifest.Spoiled || p.at.disk == 0 || arrived || inPart {
			names = append(names, w.Name)
		}
	}
	return names
}

// unseen are the packs of disks that no receipt which is about their commits calls good.
func unseen(receipts []*manifest.Receipt, c *manifest.Chain) map[manifest.Digest]bool {
	all, missed := map[manifest.Digest]bool{}, map[manifest.Digest]int{} // by how many receipts
	about := map[int]int{}
	for _, r := range receipts {
		for _, m := range r.Manifests {
			about[m.Sequence]++
		}
		for _, w := range r.Missing {
			missed[w.Name]++
		}
	}
	for _, l := range c.Links {
		for _, p := range l.Manifest.Packs {
			if p.Disk != 0 && missed[p.Name] >= about[l.Manifest.Sequence] {
				all[p.Name] = true
			}
		}
	}
	return all
}

// spoiled are the packs in whose place the vault has something else, by the last receipt that is about their commits.
func spoiled(receipts []*manifest.Receipt, c *manifest.Chain) (names []manifest.Digest) {
	last := map[int]*manifest.Receipt{}
	for _, r := range receipts {
		for _, m := range r.Manifests {
			if have := last[m.Sequence]; have == nil || !r.Time.Before(have.Time) {
				last[m.Sequence] = r
			}
		}
	}
	for _, link := range c.Links {
		r := last[link.Manifest.Sequence]
		if r == nil {
			continue
		}
		bad := map[manifest.Digest]bool{}
		for _, w := range r.Missing {
			bad[w.Name] = w.Reason == manifest.Spoiled
		}
		for _, p := range link.Manifest.Packs {
			if bad[p.Name] {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// readReceipts reads the receipts. One that is damaged or not the vault's is passed over: verifying the
// vault tells of it.
func readReceipts(ctx context.Context, vault manifest.Reader, m *manifest.Machine, key manifest.PublicKey) (all []*manifest.Receipt, err error) {
	var names []string
	err = vault.List(ctx, manifest.ReceiptsPrefix(m.Machine), func(name string, _ int64) error {
		if strings.HasSuffix(name, ".json") {
			names = append(names, name)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the vault's receipts: %w", err)
	}
	for _, name := range names {
		r, err := readReceipt(ctx, vault, m, name, key)
		if errors.Is(err, manifest.ErrFormat) || errors.Is(err, manifest.ErrSignature) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func readReceipt(ctx context.Context, vault manifest.Reader, m *manifest.Machine, name string, key manifest.PublicKey) (*manifest.Receipt, error) {
	b, err := manifest.ReadObject(ctx, vault, name, manifest.MaxReceipt)
	if err != nil {
		return nil, err
	}
	sig, err := manifest.ReadObject(ctx, vault, manifest.ReceiptSignatureName(m.Machine, manifest.Sum(b)), 64<<10)
	if err == nil {
		err = manifest.Verify(key, b, sig)
	}
	if err != nil {
		return nil, err
	}
	r, err := manifest.ParseReceipt(b)
	if err == nil && (r.Machine != m.Machine || r.Vault != m.Vault) {
		err = fmt.Errorf("%w: a receipt for machine %s", manifest.ErrFormat, r.Machine)
	}
	return r, err
}

// Absent are those of the packs that the vault has not, or not in their size: what is there then can't be replaced, and is of no
// use. Ascending by name.
func Absent(ctx context.Context, vault manifest.Reader, machine manifest.ID, packs []manifest.Pack) (all []manifest.Pack, err error) {
	for _, p := range packs {
		size, err := vault.Size(ctx, manifest.PackName(machine, p.Name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && size != p.Size {
			all = append(all, p)
		} else if err != nil {
			return nil, fmt.Errorf("looking for pack %.12s in the vault: %w", p.Name, err)
		}
	}
	sortByName(all)
	return all, nil
}

// OfDisk are the packs that the chain places on a disk of a set, and that no commit has settled, ascending by name: what is to be
// healed when the whole disk is lost. It asks no vault: those that arrived after all are among them; Absent leaves them out.
func OfDisk(c *manifest.Chain, set manifest.ID, disk int) (all []manifest.Pack) {
	lost := c.Lost()
	for _, link := range c.Links {
		for _, p := range link.Manifest.Packs {
			if link.Manifest.Set == set && p.Disk == disk && !lost[p.Name] {
				all = append(all, p)
			}
		}
	}
	sortByName(all)
	return all
}

func sortByName(packs []manifest.Pack) {
	slices.SortFunc(packs, func(a, b manifest.Pack) int { return bytes.Compare(a.Name[:], b.Name[:]) })
}
