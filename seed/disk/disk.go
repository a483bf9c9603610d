// Package disk is a travelling medium: a directory in the layout of a vault, or a container, with a
// label that says which disk of which set it is.
//
// [Create] begins a disk, [Open] opens one. While it is being filled, packs are streamed
// onto it under temporary names and published by digest. [Seal] reads everything back
// from the medium, makes the parity of package parity as it does, writes README.txt and SHA256SUMS, and sets the label's state last; a sealed disk is ready
// to travel. A disk reads like any store. After an interruption [Disk.Tidy] takes away what was begun
// and not committed, and filling goes on.
//
// The package neither packs nor restores, and needs no key. The layout is in manifest/FORMAT.md, section 8.
package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"waybill/internal/durable"
	"waybill/manifest"
)

// Names at a disk's root, beside the vault's tree.
const (
	LabelName  = "label.json"
	SumsName   = "SHA256SUMS"
	ReadmeName = "README.txt"
)

var (
	// ErrNoDisk says that a directory holds no Waybill disk.
	ErrNoDisk = errors.New("not a Waybill disk")
	// ErrForeign says that a disk is another set's or another machine's, or holds something else.
	ErrForeign = errors.New("the disk belongs to something else")
	// ErrSealed says that a disk is ready to travel and takes nothing more.
	ErrSealed = errors.New("the disk is sealed")
	// ErrMedium says that a disk does not give back what was written to it.
	ErrMedium = errors.New("the disk does not give back what was written to it")
)

// Reserve is how many bytes of a disk are left free at most, for what is on its way when the disk is full, for manifests, and for the file system's own needs.
const Reserve = 64 << 20

// A Disk is an open disk. Its store methods and NewPack are safe for concurrent use; the label is its one filler's.
type Disk struct {
	Medium
	label Label
}

// Create begins a disk in an existing directory that holds nothing but, perhaps, what file systems put there themselves;
// else it fails with ErrForeign. The label's state is set to Filling.
func Create(path string, label Label) (*Disk, error) {
	m, err := Directory(path)
	if err != nil {
		return nil, err
	}
	return CreateOn(m, label)
}

// CreateOn is Create on a medium, which it closes when it fails.
func CreateOn(m Medium, label Label) (*Disk, error) {
	label.State = Filling
	disk := &Disk{Medium: m}
	err := m.Usable()
	if err == nil {
		err = disk.SetLabel(label)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return disk, nil
}

// Usable is nil when a new disk may be begun in a directory, which has nothing but what file systems put there; else ErrForeign.
func Usable(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("beginning a disk: %w", err)
	}
	for _, e := range entries {
		if !ofFileSystem(e.Name()) {
			return fmt.Errorf("beginning a disk in %s: %w: it holds %q and perhaps more; use an empty directory or file system", path, ErrForeign, e.Name())
		}
	}
	return nil
}

// ofFileSystem tells what file systems and desktops put on an empty disk.
func ofFileSystem(name string) bool {
	switch name {
	case "lost+found", "System Volume Information", "$RECYCLE.BIN", ".Trashes", ".fseventsd", ".Spotlight-V100":
		return true
	}
	return false
}

// Open opens a disk; ErrNoDisk where there is none, manifest.ErrFormat when its label is damaged.
func Open(path string) (*Disk, error) {
	m, err := Directory(path)
	if err != nil {
		return nil, err
	}
	return OpenOn(m)
}

// OpenOn is Open on a medium, which it closes when it fails.
func OpenOn(m Medium) (*Disk, error) {
	disk := &Disk{Medium: m}
	b, err := manifest.ReadObject(context.Background(), m, LabelName, maxLabel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s has no %s: %w", m.Path(), LabelName, ErrNoDisk)
	case err == nil:
		disk.label, err = ParseLabel(b)
	}
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("opening the disk at %s: %w", m.Path(), err)
	}
	return disk, nil
}

// Remote tells whether it is in a container.
func (d *Disk) Remote() bool {
	r, ok := d.Medium.(interface{ Remote() bool })
	return ok && r.Remote()
}

// Label is the disk's label.
func (d *Disk) Label() Label { return d.label }

// SetLabel replaces the label.
func (d *Disk) SetLabel(l Label) error {
	b, err := l.Encode()
	if err == nil {
		err = d.Replace(LabelName, b)
	}
	if err != nil {
		return fmt.Errorf("writing the label of %s: %w", d.Path(), err)
	}
	d.label = l
	return nil
}

// setSealed replaces the label with that of a sealed disk, and before it the copy whose name no other disk has: where a carrier puts several disks
// into one container, only one of their label.json is left.
func (d *Disk) setSealed(l Label) error {
	b, err := l.Encode()
	if err == nil {
		err = d.Replace(manifest.DiskLabelName(l.Machine, l.Set, l.Disk), b)
	}
	if err != nil {
		return fmt.Errorf("writing the label of %s: %w", d.Path(), err)
	}
	return d.SetLabel(l)
}

// Room is nil when the disk has room for a pack of size bytes beside the reserve, the packs that are being written, and what is to be
// kept free; else durable.ErrFull.
func (d *Disk) Room(size, keep int64) error {
	free, err := d.Free()
	if err != nil {
		return err
	}
	if need := size + keep + min(2*size, Reserve); free < need {
		return fmt.Errorf("disk %d (%s) has %d MiB free, and another pack with parity and a reserve takes %d: %w", d.label.Disk, d.Path(), free>>20, need>>20, durable.ErrFull)
	}
	return nil
}

// NewPack begins a pack of at most size bytes. That there is room for it is the caller's to ask; a pack of size 0 goes to the reserve, and
// whether there is enough of that will be seen.
// The pack is published by committing it under manifest.PackName.
func (d *Disk) NewPack(size int64) (File, error) {
	if d.label.State == Sealed {
		return nil, fmt.Errorf("disk %d (%s): %w", d.label.Disk, d.Path(), ErrSealed)
	}
	return d.CreateSized(size)
}

// Publish writes a commit's signature and manifest, in this order, as a vault has them. Identical ones that are there already are
// fine; others fail with manifest.ErrChain.
func (d *Disk) Publish(ctx context.Context, m *manifest.Manifest, id manifest.Digest, body, signature []byte) error {
	err := d.put(ctx, manifest.SignatureName(m.Machine, m.Sequence, id), signature)
	if err == nil {
		err = d.put(ctx, manifest.ManifestName(m.Machine, m.Sequence), body)
	}
	if err != nil {
		return fmt.Errorf("writing commit %d to disk %d: %w", m.Sequence, d.label.Disk, err)
	}
	return nil
}

func (d *Disk) put(ctx context.Context, name string, b []byte) error {
	err := d.Put(ctx, name, bytes.NewReader(b))
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := manifest.ReadObject(ctx, d, name, manifest.MaxManifest)
	if err == nil && !bytes.Equal(there, b) {
		err = fmt.Errorf("%w: it has another %s", manifest.ErrChain, name)
	}
	return err
}

// Tidy removes what an interrupted run left: temporary files, and packs that keep doesn't want because no
// commit lists them. Only the one who fills the disk may call it; a sealed disk fails with ErrSealed.
func (d *Disk) Tidy(ctx context.Context, keep func(manifest.Digest) bool) error {
	err := d.tidy(ctx, keep)
	if err != nil {
		return fmt.Errorf("tidying disk %d: %w", d.label.Disk, err)
	}
	return nil
}

func (d *Disk) tidy(ctx context.Context, keep func(manifest.Digest) bool) error {
	if d.label.State == Sealed {
		return ErrSealed
	}
	if err := d.Sweep(); err != nil {
		return err
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
	return err
}
