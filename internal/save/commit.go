package save

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/manifest"
)

// due tells whether a checkpoint is.
func (s *session) due() bool {
	return s.cfg.Progress.NewBytes.Load()-s.newAtCP >= s.cfg.CheckpointBytes ||
		s.asked.Add(1)%1024 == 0 && (s.cfg.Now().Sub(s.lastCP) >= s.cfg.CheckpointEvery || s.packs.NewChunks() >= s.cfg.CheckpointChunks)
}

// worthKeeping tells whether an interrupted run has stored anything since the last commit.
func (s *session) worthKeeping() bool {
	return s.tree != nil && s.cfg.Progress.NewBytes.Load() > s.newAtCP
}

// checkpoint commits a partial point of the tree as it is now, while all workers wait.
func (s *session) checkpoint() error {
	s.gate.Lock()
	defer s.gate.Unlock()
	w := s.workers[0]
	s.live = 0
	root, err := w.partial(s.tree)
	if err == nil {
		err = s.flushAll()
	}
	if err == nil {
		err = s.commit(catalog.PartialState, root)
	}
	if err != nil {
		return fmt.Errorf("making a checkpoint: %w", err)
	}
	s.cfg.Progress.Checkpoints.Add(1)
	return nil
}

// partial returns the entry of a live directory as it is: what is done, beside what
// the base had of the rest. A directory in which the journal doesn't tell what is left to do is marked, for those who go on.
func (w *worker) partial(d *dir) (catalog.Entry, error) {
	slots := append([][]byte(nil), d.slots...)
	for _, kid := range d.kids {
		e, err := w.partial(kid)
		if err != nil {
			return e, err
		}
		w.s.live++
		slots[kid.slot] = e.Append(nil)
	}
	for _, other := range w.s.workers {
		r := other.reading
		if r == nil || r.dir != d {
			continue
		}
		e := r.entry
		e.Flags |= catalog.Partial
		if err := other.content.Snapshot(&e); err != nil {
			return e, err
		}
		slots[r.slot] = e.Append(nil)
	}
	e := d.entry
	if d.carried() && !d.trust && !d.only.leads() {
		e.Flags |= catalog.Partial
	}
	var err error
	e.Node, err = w.buildNode(slots)
	return e, err
}

// flushAll hands over what the workers' streams hold.
func (s *session) flushAll() error {
	for _, w := range s.workers {
		if err := w.data.Flush(); err != nil {
			return err
		}
		if err := w.cata.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// commit stores the point's record, makes the packs durable, and publishes the manifest that lists them.
// After a failure there are no more commits: a later one would take chunks for stored that are
// in the packs of the one that failed, and not list them.
func (s *session) commit(state string, root catalog.Entry) error {
	if s.broken == nil {
		point := s.point(state, root)
		if s.broken = s.recordVolumes(point); s.broken == nil {
			s.broken = s.publish(point)
		}
	}
	return s.broken
}

// publish commits a point.
func (s *session) publish(point *catalog.Point) error {
	body, err := point.Encode()
	if err != nil {
		return err
	}
	cata := s.workers[0].cata
	record, _, err := cata.Add(body)
	if err == nil {
		err = cata.Flush()
	}
	if err != nil {
		return err
	}
	packs, err := s.packs.Flush()
	if err != nil {
		return err
	}
	c, err := s.sign(packs, record)
	if err != nil {
		return err
	}
	if err := s.cfg.Destination.Publish(context.Background(), c); err != nil {
		return err
	}
	if err := s.cfg.Known.Committed(c.ID, packs); err != nil {
		return fmt.Errorf("noting what was committed: %w", err)
	}
	s.packs.Forget()
	s.committed(c, point)
	return nil
}

// committed moves the session on behind a commit.
func (s *session) committed(c Commit, point *catalog.Point) {
	if s.result == nil {
		s.result = &Result{}
	}
	s.result.Commit, s.result.Point = c, point
	s.result.Packs = append(s.result.Packs, c.Manifest.Packs...)
	s.cfg.Writer.Sequence, s.cfg.Writer.Head = c.Manifest.Sequence, c.ID
	s.lastCP = s.cfg.Now()
	s.newAtCP = s.cfg.Progress.NewBytes.Load()
}

// sign makes the manifest of the packs and the sealed reference to the record.
func (s *session) sign(packs []pack.Finished, record pack.ID) (c Commit, err error) {
	me := &s.cfg.Writer
	m := &manifest.Manifest{Vault: me.Vault, Machine: me.Machine, Set: s.cfg.Set, Sequence: me.Sequence + 1,
		Previous: me.Head, Lost: s.settles, Time: s.cfg.Now().UTC().Truncate(time.Second), Tool: s.cfg.Tool}
	if s.cfg.Disks != nil {
		m.Disks = s.cfg.Disks()
	}
	var holder manifest.Digest
	for _, p := range packs {
		m.Packs = append(m.Packs, p.Pack)
		if p.Class == manifest.Catalogue && p.Table.Has(record.Prefix()) {
			holder = p.Name
		}
	}
	if holder.IsZero() {
		return c, fmt.Errorf("the point's record is in none of the packs just written")
	}
	if m.Record, err = sealRecord(Reference{holder, record.String()}, me.Recovery, me.Catalogue); err != nil {
		return c, err
	}
	c.Manifest = m
	if c.Bytes, err = m.Encode(); err != nil {
		return c, err
	}
	c.ID = manifest.Sum(c.Bytes)
	c.Signature, err = me.Signer.Sign(c.Bytes)
	return c, err
}

// A Reference leads from a manifest to the record of its point.
type Reference struct {
	Pack  manifest.Digest `json:"pack"`
	Chunk string          `json:"chunk"`
}

func sealRecord(r Reference, to ...age.Recipient) ([]byte, error) {
	plain, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("sealing the reference to the point's record: %w", err)
	}
	return b.Bytes(), nil
}

// beforeAll is a moment before anything was read: of a volume that is held still, before it was.
func (s *session) beforeAll() time.Time {
	first := s.started
	for i := range s.cfg.Volumes {
		if c := s.cfg.Volumes[i].Record.Cursor; c != nil && !c.Taken.IsZero() && c.Taken.Before(first) {
			first = c.Taken
		}
	}
	return first
}

// point makes the record.
func (s *session) point(state string, root catalog.Entry) *catalog.Point {
	p := &catalog.Point{State: state, Host: s.cfg.Host, Started: s.started.UTC(), Ended: s.cfg.Now().UTC(),
		Settled: s.beforeAll().UTC(), Roots: escapePaths(s.cfg.Roots), Excludes: s.cfg.Excludes, OneFileSystem: s.cfg.OneFileSystem, LeftOut: s.cfg.leftOut(), Mounts: escapePaths(s.cfg.Mounts),
		Root: root.Append(nil), Mode: catalog.First, Reason: s.cfg.Reason, Selection: s.cfg.Selection}
	if b := s.cfg.Base; b != nil {
		p.Mode, p.Base = catalog.Scanned, &b.ID
		if state == catalog.PartialState && b.Point.Settled.Before(p.Settled) {
			p.Settled = b.Point.Settled // it still holds entries of the base
		}
	}
	if flaw := s.flaw.Load(); flaw != nil {
		p.Reason += fmt.Sprintf("; part of that point can't be read, and was read from the source again: %v", *flaw)
	}
	for _, w := range s.workers {
		s.owners.add(w.users, w.groups)
		p.Stats.Add(w.count)
	}
	if s.carries {
		p.Stats.Add(s.carriedStats())
	}
	if state == catalog.PartialState {
		p.Stats.Directories += s.live
	}
	p.Users, p.Groups = formatOwners(s.owners.users), formatOwners(s.owners.groups)
	s.problems.mu.Lock()
	defer s.problems.mu.Unlock()
	p.Problems, p.ProblemCount = append(p.Problems, s.problems.list...), s.problems.count
	if s.carries && state == catalog.PartialState {
		inheritProblems(p, s.cfg.Base.Point)
	}
	return p
}

// inheritProblems adds those of the base that the run has not met again: it may not have come by, and who goes on has to.
func inheritProblems(p, base *catalog.Point) {
	met := map[catalog.Problem]bool{}
	for _, x := range p.Problems {
		met[x] = true
	}
	p.ProblemCount += base.ProblemCount - len(base.Problems)
	for _, x := range base.Problems {
		if met[x] {
			continue
		}
		if p.ProblemCount++; len(p.Problems) < catalog.MaxProblems {
			p.Problems = append(p.Problems, x)
		}
	}
}

// carriedStats are the counts of what was taken from the base as it is, without having been counted.
func (s *session) carriedStats() catalog.Stats {
	c := s.unclaimed()
	b := s.cfg.Base.Point.Stats
	c.Add(catalog.Stats{Files: b.Files, Directories: b.Directories, Others: b.Others, Bytes: b.Bytes, Unchanged: b.Files + b.Others})
	return c
}

// recordVolumes says how changes were found, volume by volume. A partial point keeps the cursors that the run began at, where
// it went by them: what they tell to have changed since covers all that the point lacks.
func (s *session) recordVolumes(p *catalog.Point) error {
	optimised := 0
	for i := range s.cfg.Volumes {
		v := &s.cfg.Volumes[i]
		if v.Record.Mode == "" {
			continue
		}
		r := v.Record
		r.Path = manifest.EscapePath([]byte(v.Path))
		if v.carried() {
			optimised++
		}
		if p.State == catalog.PartialState {
			r.Cursor = nil
			if v.carried() && !s.remounted && slices.Equal(p.LeftOut, s.cfg.Base.Point.LeftOut) {
				r.Cursor = v.From
			}
		} else if err := s.judge(v, &r); err != nil {
			return err
		}
		p.Volumes = append(p.Volumes, r)
	}
	slices.SortFunc(p.Volumes, func(a, b catalog.Volume) int { return strings.Compare(a.Path, b.Path) })
	if optimised > 0 && optimised == len(p.Volumes) {
		p.Mode = catalog.Journalled
	}
	return nil
}

func formatOwners(m map[uint32]string) map[string]string {
	out := map[string]string{}
	for id, name := range m {
		out[strconv.FormatUint(uint64(id), 10)] = name
	}
	return out
}

func parseOwners(m map[string]string) map[uint32]string {
	out := map[uint32]string{}
	for text, name := range maps.All(m) {
		if id, err := strconv.ParseUint(text, 10, 32); err == nil {
			out[uint32(id)] = name
		}
	}
	return out
}
