package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"waybill/ingest/claims"
	"waybill/manifest"
)

// A share is the import of one machine that many workers do at once. All have the same to do, and nobody directs them: on the board they claim
//
//	slice-...        some packs, to be fetched
//	fetched          the moment when all that could be fetched is
//	again-...        what still lacks of a slice, to be had from another copy, or rebuilt
//	commits, disk-.. what is to be done once
//	verdict          the receipt: whoever finds nobody at work any more writes it down there, and every worker sees to it that the vault has it
//
// below the name of their run: machine, commits, and a number. Workers with the same commits are in the same run, until it has its verdict. A
// worker that has a disk no other has says so by holding here-... (until it has tried all) and reading-... (until that disk's slices are
// fetched). Nothing is decided by what a board says alone: packs are created once, which of them are in the vault is asked of
// the vault, and the receipt is signed.
type share struct {
	*job
	board  *claims.Board
	run    string // before all keys of this run
	mine   []*tree
	media  []medium // mine
	slices []*slice
	here   map[string]*claims.Claim // by key
	parity *rebuilder               // once it was needed
	strays map[int64][]stray        // too
	end    *verdict                 // once it is there

	received  map[string]bool // whether each custody log was seen to, by key
	fetched   bool
	committed bool
}

// shared is Import as one of many workers.
func (in *importer) shared(ctx context.Context, r *Report) error {
	var open []*share
	defer func() {
		for _, s := range open {
			s.leave(keyReading)
			s.leave(keyHere)
		}
	}()
	var errs []error
	over := func(id manifest.ID, done *Imported, err error) {
		if done != nil {
			r.Machines = append(r.Machines, done)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("machine %s: %w", id, err))
		}
	}
	for _, id := range turned(in.machines()) {
		s := &share{board: in.opts.Claims, received: map[string]bool{}, here: map[string]*claims.Claim{}}
		if done, err := s.begin(ctx, in, id); err != nil {
			over(id, done, err)
		} else if s.job != nil {
			open = append(open, s)
		}
	}
	for len(open) > 0 && ctx.Err() == nil {
		before := len(open)
		for _, s := range slices.Clone(open) {
			done, err := s.round(ctx)
			if !done && err == nil {
				continue
			}
			open = slices.DeleteFunc(open, func(o *share) bool { return o == s })
			s.leave(keyReading)
			s.leave(keyHere)
			if err == nil {
				err = s.job.verdict()
			} else {
				err = errors.Join(append(s.departed(), err)...)
			}
			over(s.machine.Machine, s.done, err)
		}
		if len(open) == before {
			in.opts.Progress.Waiting.Store(true)
			in.opts.Claims.Pause(ctx)
		}
	}
	for _, s := range open {
		over(s.machine.Machine, s.done, nil) // interrupted
	}
	slices.SortFunc(r.Machines, func(a, b *Imported) int { return strings.Compare(string(a.Machine), string(b.Machine)) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(errs...)
}

// turned begins anywhere, so that not all workers begin with the same.
func turned[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	n := rand.IntN(len(list))
	return append(slices.Clone(list[n:]), list[:n]...)
}

const (
	keyFetched = "fetched"
	keyCommits = "commits"
	keyVerdict = "verdict"
	keyReading = "reading-"
	keyHere    = "here-"
)

// begin finds out what there is to do for a machine, and the run to take part in.
func (s *share) begin(ctx context.Context, in *importer, id manifest.ID) (done *Imported, err error) {
	if s.job, err = in.begin(ctx, id); s.job == nil {
		return nil, err
	}
	s.mine, s.media = s.trees, s.job.media
	if err == nil {
		err = s.plan(ctx)
	}
	if err == nil {
		err = s.join(ctx)
	}
	if err == nil && s.end == nil && slices.ContainsFunc(s.mine, func(t *tree) bool { return !t.remote() }) {
		err = errors.Join(s.enter(ctx, keyReading), s.enter(ctx, keyHere))
	}
	if err != nil {
		s.leave(keyReading)
		s.leave(keyHere)
	}
	return s.done, err
}

// join finds the run to take part in, or the last one if that left nothing to do.
func (s *share) join(ctx context.Context) error {
	commits := sha256.New()
	for _, l := range s.links {
		commits.Write(l.Digest[:])
	}
	base := fmt.Sprintf("%s/%.16x-", s.machine.Machine, commits.Sum(nil))
	states, err := s.board.List(ctx, base)
	if err != nil {
		return err
	}
	last := 0
	for key, state := range states {
		number, end, _ := strings.Cut(strings.TrimPrefix(key, base), "/")
		if n, err := strconv.Atoi(number); err == nil && end == keyVerdict && state == claims.Done {
			last = max(last, n)
		}
	}
	if last > 0 {
		s.run = fmt.Sprintf("%s%04d/", base, last)
		v, err := s.readVerdict(ctx)
		if err != nil {
			return err
		}
		if s.nothingLeft(v) {
			s.end = v
			return nil
		}
	}
	s.run = fmt.Sprintf("%s%04d/", base, last+1)
	s.slices = s.cut(s.opts.Slice)
	return nil
}

// nothingLeft tells whether a run that has ended did all that these sources are good for.
func (s *share) nothingLeft(v *verdict) bool {
	for _, l := range s.links {
		if !l.inVault {
			return false
		}
	}
	wanted := map[manifest.Digest]bool{}
	for _, m := range v.receipt.Missing {
		wanted[m.Name] = true
	}
	for _, w := range s.wants {
		if w.state == missing && len(w.trees) > 0 || w.state == present && wanted[w.Name] {
			return false
		}
	}
	return !slices.ContainsFunc(s.mine, func(t *tree) bool {
		return !slices.ContainsFunc(v.Disks, func(d diskSeen) bool { return d.Key == s.keyOf(t) })
	})
}

// round does all that can be done now. It returns true when the receipt is in the vault, false while others are at work.
func (s *share) round(ctx context.Context) (done bool, err error) {
	for _, step := range []func(context.Context) (bool, error){s.receiveAll, s.fetchStep, s.againStep, s.commitStep, s.disksStep, s.verdictStep} {
		if s.end != nil {
			break
		}
		if ok, err := step(ctx); !ok || err != nil {
			return false, err
		}
	}
	return true, s.finish(ctx)
}

// receiveAll brings the custody logs of the disks into the vault.
func (s *share) receiveAll(ctx context.Context) (bool, error) {
	for _, m := range s.media {
		key := fmt.Sprintf("received-%s-%d-%.16s", m.label.Set, m.label.Disk, manifest.Sum([]byte(s.keyOf(m.tree))))
		if s.received[key] || m.tree.left() != nil {
			continue
		}
		done, err := s.once(ctx, key, func(ctx context.Context) ([]byte, error) { return nil, s.receiveDisk(ctx, m) })
		if err != nil {
			return false, err
		}
		s.received[key] = done
	}
	return true, nil // what another is at is looked at again in the next round, and waited for in the end
}

func (s *share) fetchStep(ctx context.Context) (bool, error) {
	if s.fetched {
		return true, nil
	}
	if err := s.fetchSlices(ctx); err != nil {
		return false, err
	}
	s.leave(keyReading)
	ok, err := s.together(ctx, keyFetched, func(context.Context) ([]byte, error) { return nil, nil })
	if s.fetched = ok; ok {
		err = s.lookAgain(ctx)
	}
	return ok, err
}

// commitStep has one worker write the commits. One that could not read all signatures leaves the rest to others.
func (s *share) commitStep(ctx context.Context) (done bool, err error) {
	if s.committed {
		return true, nil
	}
	all := len(s.links)
	short := errors.New("not all commits could be written")
	s.committed, err = s.once(ctx, keyCommits, func(ctx context.Context) ([]byte, error) {
		err := s.commitAll(ctx)
		if err == nil && len(s.links) < all {
			err = short
		}
		return nil, err
	})
	if errors.Is(err, short) {
		s.committed, err = true, nil
	}
	return s.committed, err
}

// disksStep says which disks were there to their end.
func (s *share) disksStep(ctx context.Context) (bool, error) {
	for _, t := range s.mine {
		if t.left() != nil {
			continue
		}
		done, err := s.once(ctx, diskPrefix+s.keyOf(t), func(context.Context) ([]byte, error) { return s.see(t) })
		if !done || err != nil {
			return false, err
		}
	}
	s.leave(keyHere)
	return true, nil
}

func (s *share) verdictStep(ctx context.Context) (bool, error) {
	for _, received := range s.received {
		if !received {
			return false, nil
		}
	}
	ok, err := s.together(ctx, keyVerdict, s.conclude)
	if ok && err == nil {
		s.end, err = s.readVerdict(ctx)
	}
	return ok, err
}

// once does something that one worker has to do. It returns true when it is done, by whomever, and false while another is at it.
func (s *share) once(ctx context.Context, key string, do func(context.Context) ([]byte, error)) (bool, error) {
	c, err := s.board.Take(ctx, s.run+key, nil)
	switch {
	case errors.Is(err, claims.ErrDone):
		return true, nil
	case errors.Is(err, claims.ErrTaken):
		return false, nil
	case err != nil:
		return false, err
	}
	defer c.Drop()
	result, err := do(c.Context())
	switch {
	case err != nil && c.Lost():
		return false, nil
	case err != nil:
		return false, err
	}
	return true, c.Done(ctx, result)
}

// together tells whether all workers have come to a point. The last to come does what is to be done there.
func (s *share) together(ctx context.Context, key string, last func(context.Context) ([]byte, error)) (bool, error) {
	states, err := s.look(ctx)
	if err != nil || states[key] == claims.Done {
		return err == nil, err
	}
	for other, state := range states {
		if state == claims.Held && other != key && (key == keyVerdict || !strings.HasPrefix(other, keyHere)) {
			return false, nil
		}
	}
	return s.once(ctx, key, last)
}

// look tells the states of the run's pieces, and counts what others did.
func (s *share) look(ctx context.Context) (map[string]claims.State, error) {
	all, err := s.board.List(ctx, s.run)
	if err != nil {
		return nil, err
	}
	states := map[string]claims.State{}
	for key, state := range all {
		states[strings.TrimPrefix(key, s.run)] = state
	}
	for _, sl := range s.slices {
		if states[sl.key] == claims.Done && !sl.done {
			sl.done = true
			s.skip(sl.wants)
		}
	}
	return states, nil
}

// enter says to the others that this worker has something that only it can do.
func (s *share) enter(ctx context.Context, key string) (err error) {
	s.here[key], err = s.board.Take(ctx, s.run+key+s.board.Worker(), nil)
	return err
}

func (s *share) leave(key string) {
	if c := s.here[key]; c != nil {
		c.Drop()
		delete(s.here, key)
	}
}

// keyOf is the name by which all know a tree: what is in the cloud is there for all, a disk is the disk wherever it is plugged in, and any other directory is
// this host's.
func (s *share) keyOf(t *tree) string {
	switch {
	case t.key != "":
		return t.key
	case t.remote():
		return fmt.Sprintf("%.16s", manifest.Sum([]byte(t.Name)))
	case t.label != nil:
		return fmt.Sprintf("%s-%d", t.label.Set, t.label.Disk)
	}
	return fmt.Sprintf("%.16s", manifest.Sum([]byte(s.opts.Host+"\n"+t.Name)))
}
