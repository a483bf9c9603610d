package vaultsim

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"waybill/manifest"
)

// made makes an object of a machine that is no pack.
func (v *Vault) made(name string) ([]byte, error) {
	if m, ok := manifest.ParseMachineKeyName(name); ok {
		if _, ok := v.index(m); ok {
			return []byte("sealed"), nil
		}
	}
	rest, ok := strings.CutPrefix(name, "machines/")
	m, _, _ := strings.Cut(rest, "/")
	i, here := v.index(manifest.ID(m))
	if !ok || !here {
		return nil, none(name)
	}
	switch id := v.Machine(i); {
	case name == manifest.MachineName(id):
		return v.document(i)
	case name == manifest.MachineSignatureName(id):
		return v.signed(v.document(i))
	}
	return v.madeOfChain(i, name)
}

// madeOfChain makes a manifest or its signature.
func (v *Vault) madeOfChain(i int, name string) ([]byte, error) {
	var seq int
	if n, err := fmt.Sscanf(strings.TrimPrefix(name, manifest.ManifestsPrefix(v.Machine(i))), "%08d", &seq); n != 1 || err != nil || seq < 1 || seq > v.Commits {
		return nil, none(name)
	}
	digests, err := v.chain(i)
	if err != nil {
		return nil, err
	}
	switch name {
	case manifest.ManifestName(v.Machine(i), seq):
		return v.manifest(i, seq, digests).Encode()
	case manifest.SignatureName(v.Machine(i), seq, digests[seq]):
		return v.signed(v.manifest(i, seq, digests).Encode())
	}
	return nil, none(name)
}

func none(name string) error { return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} }

func (v *Vault) signed(b []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return v.Signer.Sign(b)
}

// chain is the digests and sizes of a machine's manifests, by number. They are kept until another machine is asked for.
func (v *Vault) chain(i int) ([]manifest.Digest, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.machine == i {
		return v.digests, nil
	}
	digests := make([]manifest.Digest, v.Commits+1)
	for seq := 1; seq <= v.Commits; seq++ {
		b, err := v.manifest(i, seq, digests).Encode()
		if err != nil {
			return nil, err
		}
		digests[seq] = manifest.Sum(b)
	}
	v.machine, v.digests = i, digests
	return digests, nil
}

// manifest makes one that follows on the digest before.
func (v *Vault) manifest(i, seq int, digests []manifest.Digest) *manifest.Manifest {
	m := &manifest.Manifest{Vault: vaultID, Machine: v.Machine(i), Sequence: seq, Previous: digests[seq-1], Time: created.Add(time.Duration(seq) * time.Hour),
		Tool: "waybill simulated", Record: []byte("sealed")}
	for rank := seq - 1; rank < v.Packs; rank += v.Commits {
		m.Packs = append(m.Packs, v.Pack(i, rank))
	}
	return m
}

// Last is the number and digest of a machine's last simulated commit, which one that is put there follows on.
func (v *Vault) Last(i int) (seq int, d manifest.Digest, err error) {
	digests, err := v.chain(i)
	if err != nil {
		return 0, d, err
	}
	return v.Commits, digests[v.Commits], nil
}

// Pack is the manifest's line of a machine's pack. Names ascend by rank: a rank's share of all names, and then digits that look like a digest's.
func (v *Vault) Pack(i, rank int) manifest.Pack {
	p := manifest.Pack{Class: manifest.Data, Size: 64<<20 - int64(rank%1000)}
	if rank < v.Commits { // the first of each commit
		p.Class, p.Size = manifest.Catalogue, 1<<20+int64(rank%1000)
	}
	binary.BigEndian.PutUint32(p.Name[:], uint32(rank*v.step()))
	at := uint64(i)<<32 | uint64(rank)
	for n := 4; n < len(p.Name); n += 4 {
		at = (at ^ at>>29) * 0xbf58476d1ce4e5b9
		at ^= at >> 32
		binary.BigEndian.PutUint32(p.Name[n:], uint32(at))
	}
	return p
}

// step is the distance of the names' first four bytes.
func (v *Vault) step() int { return (1 << 32) / max(v.Packs, 1) }

// pack is the simulated pack of that name.
func (v *Vault) pack(name string) (p manifest.Pack, ok bool) {
	m, d, ok := manifest.ParsePackName(name)
	i, here := v.index(m)
	if !ok || !here {
		return p, false
	}
	rank := int(binary.BigEndian.Uint32(d[:])) / v.step()
	if rank >= v.Packs {
		return p, false
	}
	p = v.Pack(i, rank)
	return p, p.Name == d
}
