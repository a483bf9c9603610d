// Package disk is a travelling medium: a directory in the layout of a vault, with a
// label that says which disk of which set it is.
//
// [Create] begins a disk, [Open] opens one. While it is being filled, packs are streamed
// onto it under temporary names and published by digest. [Disk.Seal] reads everything back
// from the medium, writes SHA256SUMS and README.txt, and sets the label's state last; a sealed disk is ready
// to travel. A disk reads like any store.
//
// The package neither packs nor restores, and needs no key.
package disk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"waybill/internal/durable"
	"waybill/manifest"
)

// Names at a disk's root, beside the vault's tree.
const (
	LabelName  = "label.json"
	SumsName   = "SHA256SUMS"
	ReadmeName = "README.txt"
)

// A State is how far a disk is.
type State string

// The states of a disk.
const (
	Filling State = "filling" // packs are still being written; not to be shipped
	Sealed  State = "sealed"  // complete and read back
)

// A Label is label.json. It is for people and for finding disks; nothing that matters rests on it alone.
type Label struct {
	Format  string      `json:"format"`
	Vault   manifest.ID `json:"vault"`
	Machine manifest.ID `json:"machine"`
	Set     manifest.ID `json:"set"`
	Disk    int         `json:"disk"`  // its number in the set, from 1
	Disks   int         `json:"disks"` // how many the set has; 0 while that isn't known
	State   State       `json:"state"`
	Packs   int         `json:"packs"`
	Bytes   int64       `json:"bytes"` // of its packs
	Time    time.Time   `json:"time"`  // of the last change
	Host    string      `json:"host"`
}

const labelFormat = "waybill disk 1"

var (
	// ErrNoDisk says that a directory holds no Waybill disk.
	ErrNoDisk = errors.New("not a Waybill disk")
	// ErrForeign says that a disk is another set's or another machine's.
	ErrForeign = errors.New("the disk belongs to something else")
)

// Reserve is how many bytes of a disk are left free at most, for manifests and the file system's own needs.
const Reserve = 64 << 20

// A Disk is an open disk. Its store methods and NewPack are safe for concurrent use.
type Disk struct {
	*durable.Dir
	label Label
}

// Create begins a disk in an existing directory that holds nothing but, perhaps, what a file system puts there itself.
func Create(path string, label Label) (*Disk, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("beginning a disk: %w", err)
	}
	for _, e := range entries {
		if !ofFileSystem(e.Name()) {
			return nil, fmt.Errorf("beginning a disk in %s: %w: it holds %q and perhaps more; use an empty directory or file system", path, ErrForeign, e.Name())
		}
	}
	d, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("beginning a disk: %w", err)
	}
	label.State = Filling
	disk := &Disk{Dir: d, label: label}
	if err := disk.SetLabel(label); err != nil {
		d.Close()
		return nil, err
	}
	return disk, nil
}

// ofFileSystem tells what file systems and desktops put on an empty disk.
func ofFileSystem(name string) bool {
	switch name {
	case "lost+found", "System Volume Information", "$RECYCLE.BIN", ".Trashes", ".fseventsd", ".Spotlight-V100":
		return true
	}
	return false
}

// Open opens a disk; ErrNoDisk where there is none.
func Open(path string) (*Disk, error) {
	d, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening a disk: %w", err)
	}
	b, err := manifest.ReadObject(context.Background(), d, LabelName, 64<<10)
	disk := &Disk{Dir: d}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s has no %s: %w", path, LabelName, ErrNoDisk)
	case err == nil:
		disk.label, err = ParseLabel(b)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return disk, nil
}

// ParseLabel reads a label.
func ParseLabel(b []byte) (l Label, err error) {
	if err := json.Unmarshal(b, &l); err != nil {
		return l, fmt.Errorf("label: %w: %w", manifest.ErrFormat, err)
	}
	if l.Format != labelFormat || l.State != Filling && l.State != Sealed || l.Disk < 1 {
		return l, fmt.Errorf("label of the form %.40q, state %.40q: %w", l.Format, l.State, manifest.ErrFormat)
	}
	for _, id := range []manifest.ID{l.Vault, l.Machine, l.Set} {
		if _, err := manifest.ParseID(string(id)); err != nil {
			return l, fmt.Errorf("label: %w", err)
		}
	}
	return l, nil
}

// Label is the disk's label.
func (d *Disk) Label() Label { return d.label }

// SetLabel replaces the label.
func (d *Disk) SetLabel(l Label) error {
	l.Format = labelFormat
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := d.Replace(LabelName, append(b, '\n')); err != nil {
		return fmt.Errorf("writing the label of %s: %w", d.Path(), err)
	}
	d.label = l
	return nil
}

// NewPack begins a pack of about size bytes; durable.ErrFull when the disk has no room for it beside the reserve.
func (d *Disk) NewPack(size int64) (*durable.File, error) {
	free, err := d.Free()
	if err != nil {
		return nil, err
	}
	if free < size+min(size, Reserve) {
		return nil, fmt.Errorf("disk %d (%s) has only %d MiB free: %w", d.label.Disk, d.Path(), free>>20, durable.ErrFull)
	}
	return d.Dir.Create()
}

// Publish writes a commit's signature and manifest, as a vault has them. Identical ones that are there already are fine.
func (d *Disk) Publish(ctx context.Context, m *manifest.Manifest, id manifest.Digest, body, signature []byte) error {
	err := d.Put(ctx, manifest.SignatureName(m.Machine, m.Sequence, id), bytes.NewReader(signature))
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = d.Put(ctx, manifest.ManifestName(m.Machine, m.Sequence), bytes.NewReader(body))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing manifest %d to disk %d: %w", m.Sequence, d.label.Disk, err)
	}
	return nil
}

// Tidy removes what an interrupted run left: temporary files, and packs that keep doesn't want because no
// commit lists them. Only the one who fills the disk may call it.
func (d *Disk) Tidy(ctx context.Context, keep func(manifest.Digest) bool) error {
	if d.label.State == Sealed {
		return fmt.Errorf("disk %d is sealed; nothing is removed from it", d.label.Disk)
	}
	if err := d.Sweep(); err != nil {
		return fmt.Errorf("tidying disk %d: %w", d.label.Disk, err)
	}
	var orphans []string
	err := d.List(ctx, manifest.PacksPrefix(d.label.Machine), func(name string, _ int64) error {
		if _, digest, ok := manifest.ParsePackName(name); ok && !keep(digest) {
			orphans = append(orphans, name)
		}
		return nil
	})
	for _, name := range orphans {
		if err == nil {
			err = d.Remove(ctx, name)
		}
	}
	if err != nil {
		return fmt.Errorf("tidying disk %d: %w", d.label.Disk, err)
	}
	return nil
}
