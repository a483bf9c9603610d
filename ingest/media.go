package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"waybill/manifest"
	"waybill/seed/disk"
)

// A medium is a disk among the sources, and the tree that has its files: its own, or one that a carrier filled from several.
type medium struct {
	tree  *tree
	label disk.Label
}

// openLabel reads which disk a tree is. It is none, whatever label lies at its root, when it is a vault or has the labels of other disks, too:
// a carrier put their trees into one.
func (t *tree) openLabel(ctx context.Context) error {
	b, err := manifest.ReadObject(ctx, t, disk.LabelName, maxLabel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	label, err := disk.ParseLabel(b)
	if err != nil {
		return err
	}
	if label.Vault != t.vault.Vault {
		return fmt.Errorf("%w: its label names vault %s, its waybill.json %s", manifest.ErrFormat, label.Vault, t.vault.Vault)
	}
	t.last = &label
	_, err = t.Size(ctx, manifest.ReceiptKeyName)
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		var labels []disk.Label
		if labels, err = t.labels(ctx, label.Machine); len(labels) > 1 {
			return nil
		}
	}
	t.label, t.doubt = &label, err // what can't be read of a disk costs no more than itself
	return nil
}

const maxLabel = 64 << 10

// labels are those of a machine's disks that the tree has the files of, each once: beside their custody logs, and at the root. One that is damaged is passed
// over: it only says who was here.
func (t *tree) labels(ctx context.Context, m manifest.ID) (all []disk.Label, err error) {
	if t.label != nil {
		return slices.DeleteFunc([]disk.Label{*t.label}, func(l disk.Label) bool { return l.Machine != m }), nil
	}
	var names []string
	err = t.List(ctx, manifest.CustodiesPrefix(m), func(name string, _ int64) error {
		if manifest.ParseDiskLabelName(name) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for the labels of disks: %w", err)
	}
	for _, name := range names {
		b, err := manifest.ReadObject(ctx, t, name, maxLabel)
		if err != nil && unreadable(err) {
			return nil, err
		}
		l, err := disk.ParseLabel(b)
		if err == nil && l.Vault == t.vault.Vault && name == manifest.DiskLabelName(m, l.Set, l.Disk) {
			all = append(all, l)
		}
	}
	if l := t.last; l != nil && l.Machine == m && !slices.ContainsFunc(all, func(o disk.Label) bool { return o.Set == l.Set && o.Disk == l.Disk }) {
		all = append(all, *l)
	}
	return all, nil
}

// findMedia finds the machine's disks.
func (j *job) findMedia(ctx context.Context) error {
	for _, t := range j.trees {
		labels, err := t.labels(ctx, j.machine.Machine)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err = errors.Join(err, t.doubt); err != nil {
			j.noteSource(ctx, t, err)
		}
		for _, l := range labels {
			j.media = append(j.media, medium{t, l})
		}
	}
	return nil
}

// carries tells whether it is the disk that a pack was written to.
func (m medium) carries(w *want) bool { return m.label.Disk == w.Disk && m.label.Set == w.set }

// carries tells whether a tree is, or has the files of, the disk that a pack was written to.
func (j *job) carries(t *tree, w *want) bool {
	return slices.ContainsFunc(j.media, func(m medium) bool { return m.tree == t && m.carries(w) })
}

// set is the disk set that was read, if it was one.
func (j *job) set() (set manifest.ID) {
	for i, m := range j.media {
		if i > 0 && m.label.Set != set {
			return ""
		}
		set = m.label.Set
	}
	for _, t := range j.trees {
		if !slices.ContainsFunc(j.media, func(m medium) bool { return m.tree == t }) {
			return ""
		}
	}
	return set
}

// arrived are the numbers of the disks that were read, ascending. One that went away meanwhile is none: what it has may yet come, and its machine must
// not take it for lost.
func (j *job) arrived() []int {
	return numbers(slices.DeleteFunc(slices.Clone(j.media), func(m medium) bool { return m.tree.left() != nil }))
}

// numbers are those of disks, ascending.
func numbers(media []medium) (all []int) {
	for _, m := range media {
		all = append(all, m.label.Disk)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// notHere are the numbers of the disks of the set that were not read; none when the sources are not of one set.
func (j *job) notHere() (away []int) {
	set, disks := j.set(), 0
	if set == "" {
		return nil
	}
	for _, l := range j.links {
		if l.Manifest.Set == set {
			disks = max(disks, l.Manifest.Disks)
		}
	}
	for _, m := range j.media {
		disks = max(disks, m.label.Disks)
	}
	here := numbers(j.media)
	for n := 1; n <= disks; n++ {
		if !slices.Contains(here, n) {
			away = append(away, n)
		}
	}
	return away
}
