package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"waybill/manifest"
	"waybill/seed/disk"
)

// A custody is the custody log of one disk while it is imported.
type custody struct {
	medium
	more []medium           // the same disk's: copies
	log  []manifest.Custody // of the vault
	old  int                // so many of its entries were there before what is to be noted was done
	bad  bool               // some of them could not be read, and are not in log
	off  bool               // nothing can be added to it: the disk's log could not be read
}

// receive brings the logs of the disks into the vault, and notes those that are seen there for the first time.
func (j *job) receive(ctx context.Context) error {
	for _, m := range j.media {
		if m.tree.left() != nil {
			continue
		}
		if err := j.receiveDisk(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) receiveDisk(ctx context.Context, m medium) error {
	c := j.custodyOf(m)
	if err := j.carry(ctx, c, m.tree); err != nil || c.off {
		return err
	}
	return j.append(ctx, c, manifest.EventReceived, m.label.Packs, m.label.Bytes, j.opts.Note)
}

// custodyOf is the log of a disk, of which there may be copies.
func (j *job) custodyOf(m medium) *custody {
	for _, c := range j.custody {
		if c.label.Set == m.label.Set && c.label.Disk == m.label.Disk {
			c.more = append(c.more, m)
			return c
		}
	}
	c := &custody{medium: m, old: math.MaxInt}
	j.custody = append(j.custody, c)
	return c
}

// carry copies a disk's log into the vault's, as far as it is good.
func (j *job) carry(ctx context.Context, c *custody, t *tree) error {
	l := c.label
	var err error
	if !t.inPlace {
		_, err = manifest.CopyCustody(ctx, j.vault, t, l.Machine, l.Set, l.Disk, j.machine.SigningKey, j.doc.ReceiptKey)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
	case len(manifest.CustodyErrors(err)) > 0:
		c.off = slices.ContainsFunc(manifest.CustodyErrors(err), func(e *manifest.CustodyError) bool { return unreadable(e.Err) })
		j.noteSource(ctx, t, fmt.Errorf("its custody log: %w", err))
	case errors.Is(err, manifest.ErrChain):
		j.warn("the custody log of %s went on apart from the vault's: %v", t.Name, err)
	default:
		c.off = true
		j.noteSource(ctx, t, err)
		return nil
	}
	if err := j.readLog(ctx, c); len(manifest.CustodyErrors(err)) == 0 {
		return err
	} else {
		j.errs = append(j.errs, fmt.Errorf("in the vault: %w", err))
	}
	return nil
}

// readLog reads the vault's log of a disk. Where entries of it are bad, that is the error, and the others are there.
func (j *job) readLog(ctx context.Context, c *custody) (err error) {
	l := c.label
	c.log, err = manifest.ReadCustody(ctx, j.vault, l.Machine, l.Set, l.Disk, j.machine.SigningKey, j.doc.ReceiptKey)
	c.bad = err != nil
	return err
}

// unseen tells whether the vault has not noted that the disk is there since its machine had it, or not with this note.
func (c *custody) unseen(vault manifest.PublicKey, note string) bool {
	seen := false
	for _, e := range c.log {
		switch {
		case e.Key != vault:
			seen = false
		case e.Event == manifest.EventReceived && (note == "" || e.Note == note):
			seen = true
		}
	}
	return !seen
}

// append adds an entry to the vault's log, as long as it is needed there. Others may add theirs at the same time, and then it may not be.
func (j *job) append(ctx context.Context, c *custody, event manifest.Event, packs int, bytes int64, note string) error {
	l := c.label
	e := manifest.Custody{Vault: j.doc.Vault, Machine: l.Machine, Set: l.Set, Disk: l.Disk, Event: event,
		Time: j.opts.Now(), Host: j.opts.Host, Tool: j.opts.Tool, Serial: l.Serial, Note: note, Packs: packs, Bytes: bytes}
	for c.needs(e, j.doc.ReceiptKey) {
		e.Number, e.Previous = c.next()
		done, err := manifest.AppendCustody(ctx, j.vault, e, j.signer)
		if err == nil {
			c.log = append(c.log, done)
			return nil
		}
		if !errors.Is(err, fs.ErrExist) || e.Number == 0 {
			return err
		}
		if err := j.readLog(ctx, c); err != nil && !c.bad {
			return err
		}
	}
	return nil
}

// next is the place of the next entry; 0 when some of the log are bad, and nobody knows.
func (c *custody) next() (number int, previous manifest.Digest) {
	switch n := len(c.log); {
	case c.bad:
		return 0, manifest.Digest{}
	case n == 0:
		return 1, manifest.Digest{}
	default:
		return c.log[n-1].Number + 1, c.log[n-1].Digest
	}
}

// needs tells whether an entry says what the log doesn't yet: that the disk is there, how many of its packs the vault has, or what was done
// since this run, or another worker's part of it, began.
func (c *custody) needs(e manifest.Custody, vault manifest.PublicKey) bool {
	switch e.Event {
	case manifest.EventReceived:
		return c.unseen(vault, e.Note)
	case manifest.EventImported:
		return e.Packs > c.imported(vault)
	}
	old := min(c.old, len(c.log))
	return e.Packs > 0 && !slices.ContainsFunc(c.log[old:], func(o manifest.Custody) bool { return o.Event == e.Event && o.Key == vault })
}

// attest notes what this run did with the disks, and gives each disk its log.
func (j *job) attest(ctx context.Context) error {
	for _, c := range j.custody {
		if c.off {
			continue
		}
		if err := j.attestDisk(ctx, c); err != nil {
			return err
		}
		for _, m := range append([]medium{c.medium}, c.more...) {
			j.giveBack(ctx, m)
		}
	}
	return ctx.Err()
}

func (j *job) attestDisk(ctx context.Context, c *custody) error {
	did := func(event manifest.Event, does func(*want) bool) error {
		packs, bytes := j.count(does)
		return j.append(ctx, c, event, packs, bytes, "")
	}
	if err := did(manifest.EventVerified, func(w *want) bool { return (w.state == imported || w.state == adopted) && j.from(w, c) }); err != nil {
		return err
	}
	if err := did(manifest.EventRepaired, func(w *want) bool { return w.state == rebuilt && j.credited(w) == c }); err != nil {
		return err
	}
	return did(manifest.EventImported, func(w *want) bool { return w.state != missing && c.carries(w) })
}

// from tells whether a pack was read from a disk: of several in one tree, from the one that carried it.
func (j *job) from(w *want, c *custody) bool {
	here := slices.ContainsFunc(append([]medium{c.medium}, c.more...), func(m medium) bool { return m.tree == w.from })
	return here && (w.from.label != nil || c.carries(w))
}

// count counts packs, and their bytes.
func (j *job) count(these func(*want) bool) (packs int, bytes int64) {
	for _, w := range j.wants {
		if these(w) {
			packs++
			bytes += w.Size
		}
	}
	return packs, bytes
}

// credited is whose log says that a pack was rebuilt: the disk's that it was written to, if that is here, else a disk's of parity.
func (j *job) credited(w *want) (to *custody) {
	for _, c := range j.custody {
		if c.carries(w) {
			return c
		}
		if to == nil || c.label.Role == disk.RoleParity && to.label.Role != disk.RoleParity {
			to = c
		}
	}
	return to
}

// imported is how many of the disk's packs the log says the vault has, since its machine had it.
func (c *custody) imported(vault manifest.PublicKey) (packs int) {
	for _, e := range c.log {
		switch {
		case e.Key != vault:
			packs = 0
		case e.Event == manifest.EventImported:
			packs = e.Packs
		}
	}
	return packs
}

// giveBack writes the vault's log to the disk. A disk that can't be written travels on without, and a container doesn't travel.
func (j *job) giveBack(ctx context.Context, m medium) {
	t, l := m.tree, m.label
	to, ok := t.Reader.(manifest.Store)
	if !ok || t.remote() || t.inPlace || t.left() != nil || ctx.Err() != nil {
		return
	}
	if _, err := manifest.CopyCustody(ctx, to, j.vault, l.Machine, l.Set, l.Disk, j.machine.SigningKey, j.doc.ReceiptKey); err != nil && ctx.Err() == nil {
		j.warn("the custody log could not be written to %s, only to the vault: %v", t.Name, err)
	}
}

// heads are how far the logs of the receipt's disks have come, ascending by disk.
func (j *job) heads() (heads []manifest.CustodyHead) {
	for _, n := range numbers(j.media) {
		for _, c := range j.custody {
			if k := len(c.log); c.label.Disk == n && k > 0 {
				heads = append(heads, manifest.CustodyHead{Disk: n, Number: c.log[k-1].Number, Digest: c.log[k-1].Digest})
				break
			}
		}
	}
	return heads
}

func (j *job) warn(format string, args ...any) {
	j.done.Warnings = append(j.done.Warnings, fmt.Sprintf(format, args...))
}
