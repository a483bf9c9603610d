package vaultsim

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"waybill/manifest"
)

// An object is what is listed.
type object struct {
	name string
	size int64
}

// List implements vault.Store.
func (v *Vault) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	next, stop := iter.Pull(v.kept(prefix))
	defer stop()
	kept, more := next()
	for o, err := range v.simulated(prefix) {
		if err == nil {
			err = ctx.Err()
		}
		for err == nil && more && kept.name < o.name {
			err = each(kept.name, kept.size)
			kept, more = next()
		}
		if err == nil {
			err = each(o.name, o.size)
		}
		if err != nil {
			return err
		}
	}
	for ; more; kept, more = next() {
		if err := each(kept.name, kept.size); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Level implements vault.Hierarchy.
func (v *Vault) Level(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	if prefix != "" && prefix != "machines/" {
		return manifest.Level(ctx, flat{v}, prefix, each) // no more than a machine
	}
	sizes := map[string]int64{}
	add := func(name string, size int64) {
		if dir, _, deeper := strings.Cut(name[len(prefix):], "/"); deeper {
			name, size = prefix+dir+"/", -1
		}
		sizes[name] = size
	}
	if prefix == "" {
		add("machines/", -1)
		for o := range v.top("") {
			add(o.name, o.size)
		}
	} else {
		for i := range v.Machines {
			add(manifest.MachinePrefix(v.Machine(i)), -1)
		}
	}
	for o := range v.kept(prefix) {
		add(o.name, o.size)
	}
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(name, sizes[name]); err != nil {
			return err
		}
	}
	return nil
}

// flat is a Vault without Level.
type flat struct{ manifest.Reader }

// kept is what was put, ascending.
func (v *Vault) kept(prefix string) iter.Seq[object] {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []object
	for _, name := range slices.Sorted(maps.Keys(v.put)) {
		if strings.HasPrefix(name, prefix) {
			all = append(all, object{name, int64(len(v.put[name]))})
		}
	}
	return slices.Values(all)
}

// top is what is simulated outside of machines/, ascending.
func (v *Vault) top(prefix string) iter.Seq[object] {
	return func(yield func(object) bool) {
		give := func(name string, size int) bool {
			return !strings.HasPrefix(name, prefix) || yield(object{name, int64(size)})
		}
		for i := range v.Machines { // digits come before letters
			if !give(manifest.MachineKeyName(v.Machine(i)), len("sealed")) {
				return
			}
		}
		_ = give(manifest.ReceiptKeyName, len(v.fixed[manifest.ReceiptKeyName])) &&
			give(manifest.RecoveryName, len(v.fixed[manifest.RecoveryName])) &&
			give(manifest.VaultName, len(v.fixed[manifest.VaultName]))
	}
}

// simulated is all that is simulated, ascending.
func (v *Vault) simulated(prefix string) iter.Seq2[object, error] {
	return func(yield func(object, error) bool) {
		for o := range v.top(prefix) {
			if o.name == manifest.VaultName {
				break
			}
			if !yield(o, nil) {
				return
			}
		}
		for i := range v.Machines {
			base := manifest.MachinePrefix(v.Machine(i))
			if overlap(base, prefix) && !v.ofMachine(i, prefix, yield) {
				return
			}
		}
		if strings.HasPrefix(manifest.VaultName, prefix) {
			yield(object{manifest.VaultName, int64(len(v.fixed[manifest.VaultName]))}, nil)
		}
	}
}

// overlap tells whether names can begin with both.
func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// ofMachine yields what a machine has; false when yield is done.
func (v *Vault) ofMachine(i int, prefix string, yield func(object, error) bool) bool {
	id := v.Machine(i)
	small := func(name string) bool {
		if !strings.HasPrefix(name, prefix) {
			return true
		}
		b, err := v.made(name)
		return yield(object{name, int64(len(b))}, err)
	}
	if !small(manifest.MachineName(id)) || !small(manifest.MachineSignatureName(id)) {
		return false
	}
	if overlap(manifest.ManifestsPrefix(id), prefix) && !v.manifests(i, prefix, yield) {
		return false
	}
	if !overlap(manifest.PacksPrefix(id), prefix) {
		return true
	}
	for rank := range v.Packs {
		p := v.Pack(i, rank)
		if name := manifest.PackName(id, p.Name); strings.HasPrefix(name, prefix) && !yield(object{name, p.Size}, nil) {
			return false
		}
	}
	return true
}

// manifests yields a machine's manifests and signatures. A signature's size is that of every other.
func (v *Vault) manifests(i int, prefix string, yield func(object, error) bool) bool {
	digests, err := v.chain(i)
	sig, serr := v.Signer.Sign(nil)
	if err == nil {
		err = serr
	}
	if err != nil {
		yield(object{}, err)
		return false
	}
	for seq := 1; seq <= v.Commits; seq++ {
		for _, name := range []string{manifest.SignatureName(v.Machine(i), seq, digests[seq]), manifest.ManifestName(v.Machine(i), seq)} {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			o := object{name, int64(len(sig))}
			if strings.HasSuffix(name, ".json") {
				var b []byte
				b, err = v.manifest(i, seq, digests).Encode()
				o.size = int64(len(b))
			}
			if !yield(o, err) || err != nil {
				return false
			}
		}
	}
	return true
}
