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

// readChains reads the machine's commits in all sources, and in the vault those that are needed beside them, and makes sure that they are
// of one chain. Bad manifests of a source are noted and left out.
//
// Of the vault these are the commits from the one before the first that arrived: only they can be in a place that another has taken, be followed on, or
// settle packs of those that arrived. That the others are there, their listing tells.
func (j *job) readChains(ctx context.Context) error {
	arrived := make([]manifest.Chain, len(j.trees))
	first := manifest.MaxSequence
	for i, t := range j.trees {
		c, err := manifest.ReadChain(ctx, t, j.machine)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			j.noteSource(ctx, t, err)
		}
		if arrived[i] = c; len(c.Links) > 0 {
			first = min(first, c.Links[0].Manifest.Sequence)
		}
	}
	vault, err := j.vaultChain(ctx, first-1, arrived)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		j.errs = append(j.errs, fmt.Errorf("%s: %w", theVault, err))
	}
	commits := commits{}
	if err := commits.add(vault, nil); err != nil {
		return err
	}
	for i, t := range j.trees {
		if err := commits.add(arrived[i], t); err != nil {
			return err
		}
	}
	j.done.Gaps = commits.gaps(vault)
	return j.join(commits)
}

// vaultChain is the vault's chain from a commit on: the whole, when the vault is itself a source.
func (j *job) vaultChain(ctx context.Context, from int, arrived []manifest.Chain) (manifest.Chain, error) {
	for i, t := range j.trees {
		if t.inPlace {
			return arrived[i], nil
		}
	}
	return manifest.Reading{From: from}.Chain(ctx, j.vault, j.machine)
}

// commits are those of the vault and of all sources, by number.
type commits map[int]link

// add adds a tree's; nil is the vault.
func (all commits) add(c manifest.Chain, t *tree) error {
	for _, l := range c.Links {
		seq := l.Manifest.Sequence
		have, ok := all[seq]
		if ok && have.Digest != l.Digest {
			return fmt.Errorf("%s: %w: its commit %d is another than the one of %s", where(t), manifest.ErrChain, seq, where(have.tree))
		}
		if !ok {
			have = link{Link: l, inVault: t == nil}
		}
		if have.tree == nil {
			have.tree = t
		}
		all[seq] = have
	}
	return nil
}

// gaps are the numbers that neither the vault nor a source has, up to the last that one of them has.
func (all commits) gaps(vault manifest.Chain) (gaps []int) {
	for _, seq := range vault.Missing {
		if _, ok := all[seq]; !ok {
			gaps = append(gaps, seq)
		}
	}
	next := 1
	if last := vault.Last(); last != nil {
		next = last.Manifest.Sequence + 1
	}
	for _, seq := range slices.Sorted(maps.Keys(all)) {
		for ; next < seq; next++ {
			gaps = append(gaps, next)
		}
		next = max(next, seq+1)
	}
	return gaps
}

func where(t *tree) string {
	if t == nil {
		return theVault
	}
	return t.Name
}

// join puts the commits in order, checks that each follows on the one before, and keeps those that arrived.
func (j *job) join(commits commits) error {
	var last link
	var all manifest.Chain
	for _, seq := range slices.Sorted(maps.Keys(commits)) {
		l := commits[seq]
		if last.Manifest != nil && seq == last.Manifest.Sequence+1 && l.Manifest.Previous != last.Digest {
			return fmt.Errorf("%w: commit %d of %s does not follow on commit %d of %s", manifest.ErrChain, seq, where(l.tree), seq-1, where(last.tree))
		}
		if l.tree != nil && (!l.tree.inPlace || l.Manifest.Set != "") { // others came over the wire
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
