package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"waybill/manifest"
)

// A Level says how much of a pack is read to find it good, where its store has a checksum of it, as carriers set: Content-MD5, which the signed manifest
// has, too.
type Level int

// The levels.
const (
	Auto       Level = iota // where size and checksum are right it is not read; where there is none, or another, it is
	Full                    // every byte is read, be it copied or not
	Properties              // nothing is read just to find out: size and checksum decide, and where there is no checksum, the size
)

// here is the tree that is the vault itself, nil when none is.
func (j *job) here() *tree {
	for _, t := range j.trees {
		if t.inPlace {
			return t
		}
	}
	return nil
}

// A judgement is whether a pack is good, as far as can be told without reading it.
type judgement int

const (
	unknown judgement = iota
	sound
	unsound
)

// judge tells by what a tree's store knows of a pack, whose size is right, whether it is good.
func (j *job) judge(w *want, t *tree) judgement {
	sum := w.sums[t]
	switch {
	case j.opts.Read == Full || w.doubt:
		return unknown
	case string(sum) == string(w.MD5[:]):
		return sound
	case j.opts.Read == Auto:
		return unknown
	case len(sum) > 0:
		return unsound
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unsummed++
	return sound
}

// check finds out whether a tree's pack is good, and returns what is wrong with it.
func (j *job) check(ctx context.Context, w *want, t *tree) error {
	switch j.judge(w, t) {
	case sound:
		j.opts.Progress.Bytes.Add(w.Size)
		return nil
	case unsound:
		return fmt.Errorf("%w: its Content-MD5 is %x, not %x", manifest.ErrFormat, w.sums[t], w.MD5)
	}
	return newBody(ctx, t.Source, j.machine.Machine, w.Pack, &j.opts.Progress.Bytes).drain(make([]byte, t.piece()))
}

// adopt makes a pack the vault's that lies there already, and is good.
func (j *job) adopt(ctx context.Context, w *want, t *tree) (bad, err error) {
	if bad = j.check(ctx, w, t); bad == nil {
		w.state = adopted
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w.stuck, w.spoiled = true, !unreadable(bad)
	return bad, nil
}

// bring gets a pack from a tree into the vault.
func (j *job) bring(ctx context.Context, w *want, t *tree) (bad, err error) {
	if t.inPlace {
		return j.adopt(ctx, w, t)
	}
	if !w.stuck {
		if done, bad, err := j.copyAcross(ctx, w, t); done {
			return bad, err
		}
	}
	return j.store(ctx, w, t.Source, imported)
}

// replaces tells whether a pack may be put in the place of something else that lies under its name in the vault: only where a carrier put that there.
func (j *job) replaces() bool {
	_, ok := j.vault.(replacer)
	return ok && j.here() != nil && !j.keeps.Load()
}

// A replacer is a vault that puts an object in the place of another at one blow. What was there stays as long as the new one is not there as a whole, and when
// its body fails: parts of it may be all that the body can be made from. It fails with fs.ErrPermission where nothing may be replaced.
type replacer interface {
	PutOver(ctx context.Context, name string, body io.ReadSeeker) error
}

// replace stores a pack in the place of something else. Whoever else does the same meanwhile puts the same bytes there.
func (j *job) replace(ctx context.Context, w *want, s Source, as state) (bad, err error) {
	if j.keeps.Load() {
		return nil, nil
	}
	b := newBody(ctx, s, j.machine.Machine, w.Pack, &j.opts.Progress.Bytes)
	err = j.vault.(replacer).PutOver(ctx, b.name, b)
	switch {
	case err == nil:
		w.state, w.stuck, w.spoiled = as, false, false
		return nil, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case b.err != nil:
		return b.err, nil
	case !errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("replacing %s in the vault: %w", b.name, err)
	}
	if !j.keeps.Swap(true) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.warn("what lies damaged in the vault could be had, but not put in its place, so the machine must send it again: %v", err)
	}
	return nil, nil
}

// settled tells which packs of the machine's commits were found good before, by the vault's own receipts.
type settled map[int][]*manifest.Receipt

// readSettled reads the vault's receipts for the machine. One that is damaged, or not the vault's, settles nothing.
func (j *job) readSettled(ctx context.Context) (settled, error) {
	by := settled{}
	err := j.vault.List(ctx, manifest.ReceiptsPrefix(j.machine.Machine), func(name string, _ int64) error {
		if !strings.HasSuffix(name, ".json") {
			return nil
		}
		r, err := j.readReceipt(ctx, name)
		if err != nil && unreadable(err) {
			return err
		}
		if err == nil {
			for _, m := range r.Manifests {
				by[m.Sequence] = append(by[m.Sequence], r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the vault's receipts: %w", err)
	}
	return by, nil
}

func (j *job) readReceipt(ctx context.Context, name string) (*manifest.Receipt, error) {
	b, err := manifest.ReadObject(ctx, j.vault, name, manifest.MaxReceipt)
	if err != nil {
		return nil, err
	}
	sig, err := manifest.ReadObject(ctx, j.vault, manifest.ReceiptSignatureName(j.machine.Machine, manifest.Sum(b)), 64<<10)
	if err == nil {
		err = manifest.Verify(j.doc.ReceiptKey, b, sig)
	}
	if err != nil {
		return nil, err
	}
	return manifest.ParseReceipt(b)
}

// last are the newest receipts that are about a pack's commit: one, but for those of the same second.
func (s settled) last(w *want) (last []*manifest.Receipt) {
	for _, r := range s[w.commit] {
		if len(last) > 0 && r.Time.After(last[0].Time) {
			last = nil
		}
		if len(last) == 0 || r.Time.Equal(last[0].Time) {
			last = append(last, r)
		}
	}
	return last
}

// has tells whether the last word on a pack is that it is good.
func (s settled) has(w *want) bool {
	last := s.last(w)
	return len(last) > 0 && !slices.ContainsFunc(last, func(r *manifest.Receipt) bool { return missedBy(r, w) != nil })
}

// spoiled tells whether the last word on a pack is that the vault has something else in its place.
func (s settled) spoiled(w *want) bool {
	return slices.ContainsFunc(s.last(w), func(r *manifest.Receipt) bool {
		m := missedBy(r, w)
		return m != nil && m.Reason == manifest.Spoiled
	})
}

// missedBy is what a receipt says of a pack that it misses; nil when it doesn't.
func missedBy(r *manifest.Receipt, w *want) *manifest.WantPack {
	i, ok := slices.BinarySearchFunc(r.Missing, w.Name, func(m manifest.WantPack, d manifest.Digest) int { return slices.Compare(m.Name[:], d[:]) })
	if !ok {
		return nil
	}
	return &r.Missing[i]
}
