package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"waybill/manifest"
)

// A link is a commit and where it is.
type link struct {
	manifest.Link
	tree    *tree // nil when only the vault has it
	inVault bool
}

// readChains reads the machine's commits in the vault and in all sources, and makes sure that they are of one
// chain. Bad manifests of a source are noted and left out.
func (j *job) readChains(ctx context.Context) error {
	commits := map[int]link{}
	add := func(c manifest.Chain, t *tree) error {
		for _, l := range c.Links {
			seq := l.Manifest.Sequence
			have, ok := commits[seq]
			if ok && have.Digest != l.Digest {
				return fmt.Errorf("%s: %w: its commit %d is another than the one of %s", where(t), manifest.ErrChain, seq, where(have.tree))
			}
			if !ok {
				have = link{Link: l, inVault: t == nil}
			}
			if have.tree == nil {
				have.tree = t
			}
			commits[seq] = have
		}
		return nil
	}
	for _, t := range append([]*tree{nil}, j.trees...) {
		var r manifest.Reader = j.vault
		if t != nil {
			r = t
		}
		c, err := manifest.ReadChain(ctx, r, j.machine)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			j.errs = append(j.errs, fmt.Errorf("%s: %w", where(t), err))
		}
		if err := add(c, t); err != nil {
			return err
		}
	}
	return j.join(commits)
}

func where(t *tree) string {
	if t == nil {
		return theVault
	}
	return t.Name
}

// join puts the commits in order, checks that each follows on the one before, and keeps those that arrived.
func (j *job) join(commits map[int]link) error {
	var last link
	for _, seq := range slices.Sorted(maps.Keys(commits)) {
		l := commits[seq]
		next := 1
		if last.Manifest != nil {
			next = last.Manifest.Sequence + 1
			if seq == next && l.Manifest.Previous != last.Digest {
				return fmt.Errorf("%w: commit %d of %s does not follow on commit %d of %s", manifest.ErrChain, seq, where(l.tree), seq-1, where(last.tree))
			}
		}
		for ; next < seq; next++ {
			j.done.Gaps = append(j.done.Gaps, next)
		}
		if l.tree != nil {
			j.links = append(j.links, l)
		}
		last = l
	}
	return nil
}

// commitAll writes what the vault lacks of signatures and manifests, oldest first.
func (j *job) commitAll(ctx context.Context) error {
	for _, l := range j.links {
		if l.inVault {
			continue
		}
		if err := j.commit(ctx, l); err != nil {
			return fmt.Errorf("importing commit %d from %s: %w", l.Manifest.Sequence, l.tree.Name, err)
		}
		j.done.Commits++
	}
	return nil
}

// commit writes the signature, then the manifest: whoever sees a manifest finds its signature.
func (j *job) commit(ctx context.Context, l link) error {
	name := manifest.ManifestName(j.machine.Machine, l.Manifest.Sequence)
	body, err := l.Manifest.Encode() // its bytes: a manifest has one form
	if err != nil {
		return err
	}
	sigName := manifest.SignatureName(j.machine.Machine, l.Manifest.Sequence, l.Digest)
	sig, err := manifest.ReadObject(ctx, l.tree, sigName, 64<<10)
	if err == nil {
		err = manifest.Verify(j.machine.SigningKey, body, sig)
	}
	if err != nil {
		return err
	}
	err = j.vault.Put(ctx, sigName, bytes.NewReader(sig))
	if errors.Is(err, fs.ErrExist) {
		err = j.checkSignature(ctx, sigName, body)
	}
	if err != nil {
		return err
	}
	return j.put(ctx, name, body)
}

// checkSignature makes sure that the signature which the vault has already is one.
func (j *job) checkSignature(ctx context.Context, name string, body []byte) error {
	sig, err := manifest.ReadObject(ctx, j.vault, name, 64<<10)
	if err == nil {
		err = manifest.Verify(j.machine.SigningKey, body, sig)
	}
	if err != nil {
		return fmt.Errorf("%s in the vault: %w", name, err)
	}
	return nil
}
