package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"waybill/ingest/claims"
	"waybill/manifest"
)

// A slice is packs of one disk that a worker claims at once. Which they are follows from a commit alone, so that all workers cut alike.
type slice struct {
	key   string
	wants []*want
	done  bool // fetched, as far as can be, by whomever
	tried bool // this worker can do no more for what it lacks
}

const (
	slicePrefix = "slice-"
	againPrefix = "again-"
	partPrefix  = "part-" // of what was tried again: the rest is left to others
	diskPrefix  = "disk-"
)

// DefaultSlice is how many bytes of packs a worker claims at once.
const DefaultSlice = 4 << 30

// mostPacks is how many packs a slice has at most.
const mostPacks = 256

// cut cuts the packs of all commits.
func (j *job) cut(size int64) (all []*slice) {
	if size == 0 {
		size = DefaultSlice
	}
	wants := map[manifest.Digest]*want{}
	for _, w := range j.wants {
		wants[w.Name] = w
	}
	for _, l := range j.links {
		open := map[int]*slice{} // by disk
		bytes, packs, first := map[int]int64{}, map[int]int{}, map[int]int{}
		for i, p := range l.Manifest.Packs {
			d := p.Disk
			if open[d] == nil || bytes[d]+p.Size > size || packs[d] == mostPacks {
				open[d], bytes[d], packs[d], first[d] = &slice{}, 0, 0, i
				open[d].key = fmt.Sprintf("%s%.16s-%d-%d", slicePrefix, l.Digest, d, i)
				all = append(all, open[d])
			}
			bytes[d] += p.Size
			packs[d]++
			if w := wants[p.Name]; w != nil && w.commit == l.Manifest.Sequence {
				open[d].wants = append(open[d].wants, w)
			}
		}
	}
	return all
}

// name is the key without what is done with it.
func (sl *slice) name() string { return sl.key[len(slicePrefix):] }

// source is a tree that a slice can be fetched from; nil when there is none, or no need.
func (s *share) source(sl *slice) *tree {
	for _, w := range sl.wants {
		if w.state != missing {
			continue
		}
		for _, t := range w.trees {
			if t.left() == nil {
				return t
			}
		}
	}
	return nil
}

// inARow is how many slices of a tree a worker tries to claim before it looks again what the others do.
const inARow = 16

// fetchSlices fetches what no other worker has claimed, from all trees at once, until nothing is left.
func (s *share) fetchSlices(ctx context.Context) error {
	for {
		states, err := s.look(ctx)
		if err != nil {
			return err
		}
		todo := map[*tree][]*slice{}
		for _, sl := range s.slices {
			if t := s.source(sl); t != nil && states[sl.key] != claims.Done && states[sl.key] != claims.Held {
				todo[t] = append(todo[t], sl)
			}
		}
		var took atomic.Bool
		g, ctx := errgroup.WithContext(ctx)
		for t, list := range todo {
			list = turned(list)
			each(ctx, g, 1, list[:min(inARow, len(list))], func(ctx context.Context, sl *slice) error {
				err := s.fetchSlice(ctx, sl, s.opts.workers(t))
				if errors.Is(err, claims.ErrTaken) || errors.Is(err, claims.ErrDone) {
					return nil
				}
				took.Store(true)
				return err
			})
		}
		if err := g.Wait(); err != nil || !took.Load() {
			return err
		}
	}
}

// fetchSlice fetches one slice. It fails with claims.ErrTaken or claims.ErrDone when another worker has it or did it.
func (s *share) fetchSlice(ctx context.Context, sl *slice, workers int) error {
	return s.piece(ctx, sl, slicePrefix, func(ctx context.Context) error {
		todo := slices.DeleteFunc(slices.Clone(sl.wants), func(w *want) bool { return w.state != missing || len(w.trees) == 0 })
		g, ctx := errgroup.WithContext(ctx)
		each(ctx, g, workers, todo, s.fetch)
		err := g.Wait()
		sl.done = err == nil
		return err
	})
}

// piece works on a slice under a claim, and writes down what it came to. The note is what the vault had before anybody began: what it has at the
// end beside that was imported by this run, whichever of its workers did. Where the claim is lost meanwhile, another goes on with it, and that is no error.
func (s *share) piece(ctx context.Context, sl *slice, prefix string, work func(context.Context) error) error {
	c, err := s.board.Take(ctx, s.run+prefix+sl.name(), encodeNames(sl.wants))
	if err != nil {
		return err
	}
	defer c.Drop()
	s.opts.Progress.Waiting.Store(false)
	if c.Again {
		err = s.refresh(c.Context(), sl)
	}
	if err == nil {
		err = work(c.Context())
	}
	if err != nil && c.Lost() {
		return nil
	}
	if err != nil {
		return err
	}
	result := s.outcome(sl.wants, decodeNames(c.Note), lateState(prefix))
	if prefix == againPrefix && slices.ContainsFunc(sl.wants, s.lacks) {
		if c, err = s.board.Take(ctx, s.run+partPrefix+s.board.Worker()+"-"+sl.name(), nil); err != nil {
			return err
		}
	}
	return c.Done(ctx, result)
}

// refresh asks the vault for the packs of a slice that somebody else began.
func (s *share) refresh(ctx context.Context, sl *slice) error {
	var there []*want
	todo := slices.DeleteFunc(slices.Clone(sl.wants), func(w *want) bool { return w.state != missing || w.stuck || s.lay(w) })
	if len(todo) == 0 {
		return nil
	}
	err := askFor(ctx, s.vault, s.machine.Machine, todo, func(w *want, size int64) {
		if w.stuck = !s.found(w, theVault, size); !w.stuck {
			there = append(there, w)
		}
	})
	s.skip(there)
	return err
}

// skip counts packs that another worker put into the vault, or tried to.
func (s *share) skip(wants []*want) {
	for _, w := range wants {
		if w.state != missing {
			continue
		}
		if w.state = present; len(w.trees) > 0 {
			s.opts.Progress.Bytes.Add(w.Size)
			s.opts.Progress.Packs.Add(1)
		}
	}
}

// lay tells whether a pack lay in the vault before anybody found it good, because a carrier filled that.
func (s *share) lay(w *want) bool {
	return slices.ContainsFunc(w.trees, func(t *tree) bool { return t.inPlace })
}

// inVault asks the vault which packs it has, whatever is said of it.
func (s *share) inVault(ctx context.Context) (map[*want]bool, error) {
	there := map[*want]bool{}
	sorted := slices.SortedFunc(slices.Values(s.wants), func(a, b *want) int { return slices.Compare(a.Name[:], b.Name[:]) })
	err := lookUp(ctx, s.vault, s.machine.Machine, sorted, func(w *want, size int64) { there[w] = size == w.Size })
	if err != nil {
		return nil, fmt.Errorf("looking for packs in the vault: %w", err)
	}
	return there, nil
}

// lookAgain finds out what lacks, when all have fetched what they could.
func (s *share) lookAgain(ctx context.Context) error {
	if slices.ContainsFunc(s.wants, s.lay) { // the vault alone doesn't tell
		_, err := s.gather(ctx)
		s.trees, s.job.media = s.mine, s.media
		return err
	}
	there, err := s.inVault(ctx)
	for _, w := range s.wants {
		switch {
		case !there[w]:
			w.state = missing
		case w.state == missing:
			w.state = present
		}
	}
	return err
}

// againStep tries to get what still lacks, when all have fetched what they could: from copies that only this worker has, and from parity. It
// returns false while another worker tries some of it.
func (s *share) againStep(ctx context.Context) (done bool, err error) {
	done = true
	for _, sl := range s.slices {
		if sl.tried || !slices.ContainsFunc(sl.wants, s.lacks) {
			continue
		}
		err := s.piece(ctx, sl, againPrefix, func(ctx context.Context) error { return s.mendSlice(ctx, sl) })
		sl.tried = !errors.Is(err, claims.ErrTaken)
		if done = done && sl.tried; errors.Is(err, claims.ErrDone) {
			err = s.refresh(ctx, sl)
		}
		if err != nil && sl.tried {
			return false, err
		}
	}
	return done, nil
}

func (s *share) mendSlice(ctx context.Context, sl *slice) (err error) {
	for _, w := range sl.wants {
		if s.lacks(w) && len(w.trees) > 0 && !w.damaged {
			if err := s.fetch(ctx, w); err != nil {
				return err
			}
		}
	}
	if s.strays == nil {
		if s.strays, err = s.allStrays(ctx); err != nil {
			return err
		}
	}
	if err := s.fetchStrays(ctx, s.lacking(sl.wants), s.strays); err != nil {
		return err
	}
	bad := slices.DeleteFunc(slices.Clone(sl.wants), func(w *want) bool { return !s.lacks(w) })
	if len(bad) == 0 {
		return nil
	}
	if s.parity == nil {
		if s.parity, err = s.openParity(ctx); err != nil {
			return err
		}
	}
	return s.rebuildFrom(ctx, bad, s.parity)
}

// An outcome is what became of one pack, as it is written on a board.
type outcome struct {
	Name    manifest.Digest `json:"sha256"`
	State   state           `json:"state"`
	From    string          `json:"from,omitempty"` // the tree's key
	Damaged bool            `json:"damaged,omitempty"`
	Spoiled bool            `json:"spoiled,omitempty"`
}

// lateState is what became of a pack that came into the vault while somebody worked on its slice who could not say so any more.
func lateState(prefix string) state {
	if prefix == againPrefix {
		return rebuilt
	}
	return imported
}

// outcome writes down what became of packs. Those that were there before anybody began are had; late is what became of others that are there.
func (s *share) outcome(wants []*want, had map[manifest.Digest]bool, late state) []byte {
	var all []outcome
	for _, w := range wants {
		o := outcome{Name: w.Name, State: w.state, Damaged: w.damaged, Spoiled: w.spoiled}
		if o.State == present && !had[w.Name] {
			o.State = late
		}
		if w.from != nil {
			o.From = s.keyOf(w.from)
		}
		all = append(all, o)
	}
	b, _ := json.Marshal(all) // it can't fail
	return b
}

// encodeNames is the names of the packs that the vault has, for a note.
func encodeNames(wants []*want) []byte {
	var names []manifest.Digest
	for _, w := range wants {
		if w.state == present {
			names = append(names, w.Name)
		}
	}
	b, _ := json.Marshal(names) // it can't fail
	return b
}

func decodeNames(b []byte) map[manifest.Digest]bool {
	var names []manifest.Digest
	_ = json.Unmarshal(b, &names) // what can't be read only makes counts wrong
	had := map[manifest.Digest]bool{}
	for _, n := range names {
		had[n] = true
	}
	return had
}
