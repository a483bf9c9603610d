package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// ErrChain says that two manifests, each signed as it should be, are not of one chain: the machine's state was copied or
// set back, and two commits took the same place.
var ErrChain = errors.New("commits that are not of one chain")

// A Link is a commit of a chain: its manifest, and the digest of the manifest's bytes, which is the
// recovery point's id.
type Link struct {
	Manifest *Manifest
	Digest   Digest
}

// A Chain is a machine's commits in their order, as far as they are there.
type Chain struct {
	Links   []Link // ascending by sequence number
	Missing []int  // the sequence numbers below the last link's that have no link: in transit, or lost
}

// Last is the newest link; nil for an empty chain.
func (c *Chain) Last() *Link {
	if len(c.Links) == 0 {
		return nil
	}
	return &c.Links[len(c.Links)-1]
}

// Lost tells the packs that a later commit settles: what was in them is in that commit's packs as far as it could
// be had again, and nobody waits for them any more. One that turns up all the same is as good as any.
func (c *Chain) Lost() map[Digest]bool {
	lost := map[Digest]bool{}
	for _, l := range c.Links {
		for _, d := range l.Manifest.Lost {
			lost[d] = true
		}
	}
	return lost
}

// maxMissing is the widest gap between two commits. It bounds what a false number can cost.
const maxMissing = 1 << 20

// ReadChain reads all manifests of a machine that are there, verifies each signature under the machine's
// key, and each link to the one before. That some are not there is no error: a seed may still be
// on its way. Neither is a signature without a manifest: its commit was never completed.
//
// When some manifests are bad, the chain holds all others, the bad ones count as missing, and the error joins what is wrong
// with each: ErrSignature, ErrFormat, or ErrChain for two that don't fit each other.
func ReadChain(ctx context.Context, r Reader, m *Machine) (Chain, error) {
	var c Chain
	var seqs []int
	err := r.List(ctx, ManifestsPrefix(m.Machine), func(name string, _ int64) error {
		if _, seq, ok := ParseManifestName(name); ok {
			seqs = append(seqs, seq)
		}
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("listing manifests of machine %s: %w", m.Machine, err)
	}
	var bad []error
	for _, seq := range seqs {
		link, err := readLink(ctx, r, m, seq)
		if ctx.Err() != nil {
			return c, ctx.Err()
		}
		if err == nil {
			err = c.append(link)
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("manifest %d: %w", seq, err))
		}
	}
	return c, errors.Join(bad...)
}

// append adds a link whose number is higher than all before.
func (c *Chain) append(l Link) error {
	next, seq := 1, l.Manifest.Sequence
	if last := c.Last(); last != nil {
		next = last.Manifest.Sequence + 1
		if next == seq && last.Digest != l.Manifest.Previous {
			return fmt.Errorf("%w: it does not follow on manifest %d", ErrChain, seq-1)
		}
	}
	if seq-next > maxMissing {
		return fmt.Errorf("%w: %d manifests are missing before it", ErrFormat, seq-next)
	}
	for ; next < seq; next++ {
		c.Missing = append(c.Missing, next)
	}
	c.Links = append(c.Links, l)
	return nil
}

// readLink reads one manifest. Its signature is verified before anything in it is believed.
func readLink(ctx context.Context, r Reader, machine *Machine, seq int) (l Link, err error) {
	b, err := ReadObject(ctx, r, ManifestName(machine.Machine, seq), MaxManifest)
	if err != nil {
		return l, err
	}
	l.Digest = Sum(b)
	sig, err := readSignature(ctx, r, SignatureName(machine.Machine, seq, l.Digest))
	if err == nil {
		err = Verify(machine.SigningKey, b, sig)
	}
	if err == nil {
		l.Manifest, err = Parse(b)
	}
	if err != nil {
		return l, err
	}
	if m := l.Manifest; m.Machine != machine.Machine || m.Vault != machine.Vault || m.Sequence != seq {
		return l, fmt.Errorf("%w: it is manifest %d of machine %s in vault %s", ErrFormat, m.Sequence, m.Machine, m.Vault)
	}
	return l, nil
}

func readSignature(ctx context.Context, r Reader, name string) ([]byte, error) {
	sig, err := ReadObject(ctx, r, name, maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: it is missing: %w", ErrSignature, err)
	}
	return sig, err
}
