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

// ReadChain reads all manifests of a machine that are there, verifies each signature under the machine's
// key, and each link to the one before. That some are not there is no error: a seed may still be
// on its way. Neither is a signature without a manifest: its commit was never completed.
//
// When some manifests are bad, the chain holds all others, the bad ones count as missing, and the error joins what is wrong
// with each: ErrSignature, ErrFormat, or ErrChain for two that don't fit each other.
func ReadChain(ctx context.Context, r Reader, m *Machine) (Chain, error) {
	return Reading{}.Chain(ctx, r, m)
}

// A growing chain is one that is being read.
type growing struct {
	Chain
	next int // the number after the last one that was there
}

// maxMissing is the widest gap between two commits. It bounds what a false number can cost.
const maxMissing = 1 << 20

// add adds a link whose number is higher than all before.
func (c *growing) add(l Link) error {
	seq := l.Manifest.Sequence
	if last := c.Last(); last != nil && last.Manifest.Sequence == seq-1 && last.Digest != l.Manifest.Previous {
		return fmt.Errorf("%w: it does not follow on manifest %d", ErrChain, seq-1)
	}
	if seq-c.next > maxMissing {
		return fmt.Errorf("%w: %d manifests are missing before it", ErrFormat, seq-c.next)
	}
	c.skip(seq)
	c.Links = append(c.Links, l)
	return nil
}

// skip goes on behind a number, and notes those before it that are missing.
func (c *growing) skip(seq int) {
	for ; c.next < seq; c.next++ {
		c.Missing = append(c.Missing, c.next)
	}
	c.next = seq + 1
}

func readSignature(ctx context.Context, r Reader, name string) ([]byte, error) {
	sig, err := ReadObject(ctx, r, name, maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: it is missing: %w", ErrSignature, err)
	}
	return sig, err
}
