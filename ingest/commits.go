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
		switch {
		case err != nil && t != nil:
			j.noteSource(ctx, t, err)
		case err != nil:
			j.errs = append(j.errs, fmt.Errorf("%s: %w", theVault, err))
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
	var all manifest.Chain
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
		all.Links = append(all.Links, l.Link)
		last = l
	}
	j.lost = all.Lost()
	return nil
}

// commitAll writes what the vault lacks of signatures and manifests, oldest first. Where a signature can't be read any more, that commit and
// those after it are left for the next time.
func (j *job) commitAll(ctx context.Context) error {
	for i, l := range j.links {
		if l.inVault {
			continue
		}
		body, err := l.Manifest.Encode() // its bytes: a manifest has one form
		if err != nil {
			return err
		}
		sig, err := j.signature(ctx, l, body)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			j.errs = append(j.errs, fmt.Errorf("importing commit %d: %w", l.Manifest.Sequence, err))
			j.links = j.links[:i]
			break
		}
		if err := j.commit(ctx, l, body, sig); err != nil {
			return fmt.Errorf("importing commit %d: %w", l.Manifest.Sequence, err)
		}
		j.done.Commits++
	}
	return nil
}

// signature reads a commit's signature from the first source that has a good one.
func (j *job) signature(ctx context.Context, l link, body []byte) (sig []byte, err error) {
	name := manifest.SignatureName(j.machine.Machine, l.Manifest.Sequence, l.Digest)
	var errs []error
	for _, t := range append([]*tree{l.tree}, j.trees...) {
		if t.left() != nil {
			continue
		}
		if sig, err = manifest.ReadObject(ctx, t, name, 64<<10); err == nil {
			err = manifest.Verify(j.machine.SigningKey, body, sig)
		}
		if err == nil {
			for _, err := range errs {
				j.warn("the signature of commit %d had to be read elsewhere: %v", l.Manifest.Sequence, err)
			}
			return sig, nil
		}
		if t.alive(ctx) {
			errs = append(errs, fmt.Errorf("%s: %w", t.Name, err))
		}
	}
	return nil, errors.Join(append(errs, errors.New("no source gives its signature"))...)
}

// commit writes the signature, then the manifest: whoever sees a manifest finds its signature.
func (j *job) commit(ctx context.Context, l link, body, sig []byte) error {
	name := manifest.ManifestName(j.machine.Machine, l.Manifest.Sequence)
	sigName := manifest.SignatureName(j.machine.Machine, l.Manifest.Sequence, l.Digest)
	err := j.vault.Put(ctx, sigName, bytes.NewReader(sig))
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
