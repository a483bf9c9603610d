package ingest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"waybill/ingest/claims"
	"waybill/manifest"
	"waybill/seed/disk"
)

// A verdict is what the workers of a run came to, as it is on the board. The first counts: so there is one receipt, whoever puts it into the vault.
type verdict struct {
	signedReceipt
	Disks []diskSeen

	receipt *manifest.Receipt
}

// A diskSeen is a tree that one of the workers read.
type diskSeen struct {
	Key    string
	Labels [][]byte // of the disks whose files it has; none for a tree that is no disk
}

// see writes down a tree.
func (s *share) see(t *tree) ([]byte, error) {
	d := diskSeen{Key: s.keyOf(t)}
	for _, m := range s.media {
		if m.tree != t {
			continue
		}
		l, err := m.label.Encode()
		if err != nil {
			return nil, err
		}
		d.Labels = append(d.Labels, l)
	}
	return json.Marshal(d)
}

// conclude puts together what all workers did, with the disks' custody logs and the receipt. The truth of what is there it has from the vault.
func (s *share) conclude(ctx context.Context) ([]byte, error) {
	disks, err := s.gather(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.openLogs(ctx); err != nil {
		return nil, err
	}
	for _, c := range s.custody {
		if err := s.attestDisk(ctx, c); err != nil {
			return nil, err
		}
	}
	v := verdict{Disks: disks}
	if v.signedReceipt, err = s.account(); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// A record is what a worker wrote down of one piece: its result, or the note of one that was never finished.
type record struct {
	key  string // without the run
	done bool
	text []byte
}

// gather takes over what the workers wrote down, as far as the vault has it. What lay there before, in a carrier's container, is good when one of them found it so.
func (s *share) gather(ctx context.Context) (disks []diskSeen, err error) {
	there, err := s.inVault(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range s.wants {
		if w.state, w.from = present, nil; !there[w] || s.lay(w) {
			w.state = missing
		}
	}
	records, err := s.records(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if !strings.HasPrefix(r.key, diskPrefix) || !r.done {
			continue
		}
		var d diskSeen
		if err := json.Unmarshal(r.text, &d); err != nil {
			return nil, fmt.Errorf("on the board: %s: %w", r.key, err)
		}
		disks = append(disks, d)
	}
	s.adopt(disks)
	wants := map[manifest.Digest]*want{}
	for _, w := range s.wants {
		if there[w] {
			wants[w.Name] = w
		}
	}
	for _, r := range records {
		switch {
		case strings.HasPrefix(r.key, diskPrefix):
		case r.done:
			s.takeOver(wants, r)
		default:
			s.guess(r)
		}
	}
	return disks, nil
}

// records reads what the workers wrote down, in the order in which it counts.
func (s *share) records(ctx context.Context) ([]*record, error) {
	states, err := s.board.List(ctx, s.run)
	if err != nil {
		return nil, err
	}
	var all []*record
	for key, state := range states {
		if short := strings.TrimPrefix(key, s.run); rank(short) > 0 {
			all = append(all, &record{key: short, done: state == claims.Done})
		}
	}
	slices.SortFunc(all, func(a, b *record) int {
		return cmp.Or(cmp.Compare(rank(a.key), rank(b.key)), cmp.Compare(a.key, b.key))
	})
	g, ctx := errgroup.WithContext(ctx)
	each(ctx, g, asking, all, func(ctx context.Context, r *record) (err error) {
		if r.done {
			r.text, err = s.board.Result(ctx, s.run+r.key)
		} else {
			r.text, err = s.board.Note(ctx, s.run+r.key)
		}
		return err
	})
	return all, g.Wait()
}

// rank is the order in which records count; 0 for those that are none.
func rank(key string) int {
	for i, prefix := range []string{slicePrefix, partPrefix, againPrefix, diskPrefix} {
		if strings.HasPrefix(key, prefix) {
			return i + 1
		}
	}
	return 0
}

// takeOver notes what became of a slice. What can't be read, or is of packs that the vault doesn't have, only makes the counts wrong.
func (s *share) takeOver(wants map[manifest.Digest]*want, r *record) {
	var all []outcome
	if err := json.Unmarshal(r.text, &all); err != nil {
		s.warn("on the board: %s: %v", r.key, err)
		return
	}
	for _, o := range all {
		w := wants[o.Name]
		if w == nil {
			continue
		}
		w.damaged = w.damaged || o.Damaged
		switch {
		case o.State == missing:
			w.spoiled = w.spoiled || o.Spoiled
			w.stuck = w.stuck || o.Spoiled
		case w.state == missing || w.state == present:
			w.state, w.from, w.spoiled = o.State, s.treeOf(w, o.From), false
		}
	}
}

// guess notes what became of a slice that was begun, and never finished.
func (s *share) guess(r *record) {
	had := decodeNames(r.text)
	prefix, name, _ := strings.Cut(r.key, "-")
	late := lateState(prefix + "-")
	for _, sl := range s.slices {
		if sl.name() != name {
			continue
		}
		for _, w := range sl.wants {
			if w.state == present && !had[w.Name] {
				w.state, w.from = late, s.treeOf(w, "")
			}
		}
	}
}

// treeOf is the tree that a pack came from; where that isn't known, the disk that it was written to.
func (s *share) treeOf(w *want, key string) *tree {
	for _, t := range s.trees {
		if s.keyOf(t) == key || key == "" && s.carries(t, w) {
			return t
		}
	}
	return nil
}

// adopt puts the disks that other workers have beside this one's.
func (s *share) adopt(disks []diskSeen) {
	s.trees, s.job.media = slices.Clone(s.mine), slices.Clone(s.media)
	for _, d := range disks {
		if slices.ContainsFunc(s.mine, func(t *tree) bool { return s.keyOf(t) == d.Key }) {
			continue
		}
		t := &tree{Source: Source{Name: "another worker's"}, vault: s.doc, key: d.Key}
		s.trees = append(s.trees, t)
		for _, text := range d.Labels {
			l, err := disk.ParseLabel(text)
			if err != nil {
				s.warn("on the board: %v", err)
				continue
			}
			s.job.media = append(s.job.media, medium{t, l})
			if len(d.Labels) == 1 {
				t.label = &l
			}
		}
	}
}

// openLogs reads the disks' custody logs from the vault. Of an earlier worker that came to this point, and no further, the board knows how
// long they were: what it added is not added again.
func (s *share) openLogs(ctx context.Context) error {
	s.custody = nil
	for _, m := range s.job.media {
		if m.tree.left() != nil {
			continue
		}
		if err := s.readLog(ctx, s.custodyOf(m)); err != nil && len(manifest.CustodyErrors(err)) == 0 {
			return err
		}
	}
	lengths := map[string]int{}
	key := func(c *custody) string { return fmt.Sprintf("%s-%d", c.label.Set, c.label.Disk) }
	for _, c := range s.custody {
		lengths[key(c)] = len(c.log)
	}
	note, err := json.Marshal(lengths)
	if err == nil {
		note, err = s.board.First(ctx, s.run+"logs", note)
	}
	if err == nil {
		err = json.Unmarshal(note, &lengths)
	}
	for _, c := range s.custody {
		c.old = lengths[key(c)]
	}
	return err
}

// readVerdict reads a run's. Who can write to the board can't make up a receipt.
func (s *share) readVerdict(ctx context.Context) (*verdict, error) {
	b, err := s.board.Result(ctx, s.run+keyVerdict)
	v := &verdict{}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err == nil {
		err = manifest.Verify(s.doc.ReceiptKey, v.Body, v.Signature)
	}
	if err == nil {
		v.receipt, err = manifest.ParseReceipt(v.Body)
	}
	if err == nil && (v.receipt.Vault != s.doc.Vault || v.receipt.Machine != s.machine.Machine) {
		err = fmt.Errorf("%w: it is of another machine", manifest.ErrFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("on the board: the receipt of %s: %w", s.run, err)
	}
	return v, nil
}

// finish sees to it that the vault has the receipt, and gives this worker's disks their custody logs.
func (s *share) finish(ctx context.Context) error {
	s.adopt(s.end.Disks)
	lacks := map[manifest.Digest]bool{}
	for _, m := range s.end.receipt.Missing {
		lacks[m.Name] = true
	}
	for _, w := range s.wants {
		if lacks[w.Name] {
			w.state = missing
		} else if w.state == missing && !s.lost[w.Name] {
			w.state = present
		}
	}
	if err := s.settle(ctx, s.end.signedReceipt); err != nil {
		return err
	}
	for _, m := range s.media {
		s.giveBack(ctx, m)
	}
	return ctx.Err()
}
