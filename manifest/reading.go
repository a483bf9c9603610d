package manifest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A Reading says what of a chain need not be read. The zero value reads all of it, as ReadChain does.
//
// It lists the machine's manifests and signatures in any case: two names a commit, which stores list by the thousand. So it is always
// seen which commits are there, how large each manifest is, and, since a signature's name has the beginning of its manifest's digest, whether
// another commit has taken a place in the chain.
type Reading struct {
	// From leaves out the links before this number, but never the last. They are not looked at, but that they are listed keeps them from being
	// missing.
	From int
	// Known are links that were verified before, by number. One is taken as it is if its manifest is listed in its size, and beside it its
	// signature and no other. Else the manifest is read. What was changed in place is so overlooked, until somebody reads it all.
	Known map[int]Known
}

// A Known is a link and how many bytes its manifest has.
type Known struct {
	Link
	Size int64
}

// Chain reads what is to be read; the rest is as with ReadChain.
func (g Reading) Chain(ctx context.Context, r Reader, m *Machine) (Chain, error) {
	all, err := listCommits(ctx, r, m.Machine)
	if err != nil {
		return Chain{}, fmt.Errorf("listing manifests of machine %s: %w", m.Machine, err)
	}
	c := growing{next: 1}
	before, _ := slices.BinarySearchFunc(all, g.From, func(l *commit, seq int) int { return l.seq - seq })
	before = max(min(before, len(all)-1), 0)
	for _, l := range all[:before] {
		if l.seq-c.next <= maxMissing {
			c.skip(l.seq)
		}
	}
	all = all[before:]
	var unknown []*commit
	for _, l := range all {
		if !l.take(g.Known, m) {
			unknown = append(unknown, l)
		}
	}
	if err := readCommits(ctx, r, m, unknown); err != nil {
		return c.Chain, err
	}
	var bad []error
	for _, l := range all {
		if l.err == nil {
			l.err = c.add(l.link)
		}
		if l.err != nil {
			bad = append(bad, fmt.Errorf("manifest %d: %w", l.seq, l.err))
		}
	}
	return c.Chain, errors.Join(bad...)
}

// A commit is what is listed of one, and then what was read.
type commit struct {
	seq        int
	there      bool // its manifest is
	size       int64
	signatures []signature
	link       Link
	err        error
}

// A signature is one that is listed.
type signature struct {
	digest Digest // the first 8 bytes of its manifest's
	size   int64
}

// listCommits lists the commits of which the manifest is there, ascending.
func listCommits(ctx context.Context, r Reader, m ID) ([]*commit, error) {
	bySeq := map[int]*commit{}
	of := func(seq int) *commit {
		if bySeq[seq] == nil {
			bySeq[seq] = &commit{seq: seq}
		}
		return bySeq[seq]
	}
	err := r.List(ctx, ManifestsPrefix(m), func(name string, size int64) error {
		if seq, d, ok := parseSignatureName(name); ok {
			of(seq).signatures = append(of(seq).signatures, signature{d, size})
		} else if _, seq, ok := ParseManifestName(name); ok {
			of(seq).there, of(seq).size = true, size
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := make([]*commit, 0, len(bySeq))
	for _, seq := range slices.Sorted(maps.Keys(bySeq)) {
		if bySeq[seq].there {
			all = append(all, bySeq[seq])
		}
	}
	return all, nil
}

// take takes the known link, if it is that of the commit.
func (l *commit) take(known map[int]Known, m *Machine) bool {
	k, ok := known[l.seq]
	if !ok || k.Size != l.size || len(l.signatures) != 1 || [8]byte(l.signatures[0].digest[:]) != [8]byte(k.Digest[:]) {
		return false
	}
	l.link, l.err = k.Link, l.place(k.Manifest, m)
	return l.err == nil
}

const (
	readers     = 16       // commits that are read at once: a far store takes its time for each
	readerBytes = 64 << 20 // of their manifests, if there are several
)

// readCommits reads commits, several at a time. It fails only when ctx is done: what is wrong with each is there.
func readCommits(ctx context.Context, r Reader, m *Machine, all []*commit) error {
	for len(all) > 0 && ctx.Err() == nil {
		n, bytes := 0, int64(0)
		for n < min(len(all), readers) && (n == 0 || bytes+all[n].size <= readerBytes) {
			bytes += all[n].size
			n++
		}
		var wg sync.WaitGroup
		for _, l := range all[:n] {
			wg.Go(func() { l.read(ctx, r, m) })
		}
		wg.Wait()
		all = all[n:]
	}
	return ctx.Err()
}

// read reads a manifest. Its signature is verified before anything in it is believed.
func (l *commit) read(ctx context.Context, r Reader, m *Machine) {
	var b, sig []byte
	b, l.err = readSized(ctx, r, ManifestName(m.Machine, l.seq), l.size, MaxManifest, nil)
	if l.err != nil {
		return
	}
	l.link.Digest = Sum(b)
	if sig, l.err = l.signature(ctx, r, m.Machine); l.err == nil {
		l.err = Verify(m.SigningKey, b, sig)
	}
	if l.err == nil {
		l.link.Manifest, l.err = Parse(b)
	}
	if l.err == nil {
		l.err = l.place(l.link.Manifest, m)
	}
}

// signature reads that of the manifest which was read.
func (l *commit) signature(ctx context.Context, r Reader, m ID) ([]byte, error) {
	name := SignatureName(m, l.seq, l.link.Digest)
	for _, s := range l.signatures {
		if [8]byte(s.digest[:]) == [8]byte(l.link.Digest[:]) {
			return readSized(ctx, r, name, s.size, maxDocument, nil)
		}
	}
	return readSignature(ctx, r, name) // it may have come since its place in the list went by
}

// place makes sure that the manifest is the one of its place.
func (l *commit) place(m *Manifest, machine *Machine) error {
	if m.Machine != machine.Machine || m.Vault != machine.Vault || m.Sequence != l.seq {
		return fmt.Errorf("%w: it is manifest %d of machine %s in vault %s", ErrFormat, m.Sequence, m.Machine, m.Vault)
	}
	return nil
}
