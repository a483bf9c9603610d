// Package databox knows where on a carrier's device a seed's tree may stand, and what the carrier would rename or drop.
//
// [Resolve] tells whether a path is an Azure Data Box Disk, a share of an Azure Data Box, or a plain directory, and where the tree
// goes: on a device below a container, never at its root. [Place.Make] makes that directory, [Place.Check] tells of each
// file whether the carrier takes it as it is, and [PackSize] chooses packs so that an order has not too many files. [Trees]
// finds the containers again where a disk arrives.
//
// The limits are those of Microsoft's pages "Data Box Disk limits" and "Data Box limits". The package looks at directories only. It neither unlocks nor
// mounts a device, and writes nothing but the container's directory.
package databox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"waybill/manifest"
)

// ErrRefused says that the carrier would rename, drop or refuse what was to be written there.
var ErrRefused = errors.New("the carrier of a Data Box would not take it as it is")

// A Kind is what a path is on.
type Kind string

// The kinds of places.
const (
	Plain Kind = "directory"
	Disk  Kind = "Data Box Disk"
	Share Kind = "Data Box share"
)

// A Place is where a seed's tree goes.
type Place struct {
	Root      string // the directory of the tree; it need not be there on a device, see Make
	Kind      Kind
	Device    string // the root of the Data Box Disk or of the share; empty when Plain
	Container string // of the storage account that the carrier fills; empty when Plain
}

const blockBlob = "BlockBlob"

// markers are the other directories that the carrier makes at the root of a disk.
var markers = []string{"PageBlob", "AzureFile", "ManagedDisk", "DataBoxDiskImport"}

// Resolve tells where the tree goes for the path that was given as a disk. On a Data Box container is the name of the one to write to, unless
// the path is in one already. It fails with ErrRefused where nothing may be written, and with fs.ErrNotExist when there is no such directory, except
// that a container need not be there. Nothing is changed.
func Resolve(path, container string) (Place, error) {
	at, err := physical(path)
	if err != nil {
		return Place{}, fmt.Errorf("looking at %s: %w", path, err)
	}
	p, rel, err := device(at)
	if err == nil && p.Kind == Plain {
		if _, err = os.Stat(at); err != nil {
			return Place{}, fmt.Errorf("looking at %s: %w", path, err)
		}
		return Place{Root: path, Kind: Plain}, nil
	}
	if err == nil {
		err = p.settle(rel, container)
	}
	if err != nil {
		return Place{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// ContainerFor is the container for a vault's seeds when nobody chose another.
func ContainerFor(vault manifest.ID) string { return fmt.Sprintf("waybill-%.8s", string(vault)) }

// physical is the path without links. Its last part need not exist.
func physical(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		real, err = filepath.EvalSymlinks(filepath.Dir(abs))
		real = filepath.Join(real, filepath.Base(abs))
	}
	return real, err
}

// device finds the Data Box that a path is on, and the path's parts below that.
func device(path string) (Place, []string, error) {
	var rel []string
	for at := path; ; at = filepath.Dir(at) {
		kind, err := kindOf(at, len(rel) > 0)
		if err != nil || kind != Plain {
			slices.Reverse(rel)
			return Place{Kind: kind, Device: at}, rel, err
		}
		if filepath.Base(at) == blockBlob && filepath.Dir(at) != at {
			slices.Reverse(rel)
			return Place{Kind: Disk, Device: filepath.Dir(at)}, append([]string{blockBlob}, rel...), nil
		}
		if filepath.Dir(at) == at {
			return Place{Kind: Plain}, nil, nil
		}
		rel = append(rel, filepath.Base(at))
	}
}

// kindOf tells what has its root at a directory. What lies beside a lone BlockBlob is no part of a device.
func kindOf(dir string, below bool) (Kind, error) {
	if account, what, ok := shareOf(dir); ok {
		if what != blockBlob {
			return Plain, fmt.Errorf("%w: it is the share %s of the account %s; a seed goes to the share %s_%s", ErrRefused, what, account, account, blockBlob)
		}
		return Share, nil
	}
	others := 0
	for _, m := range markers {
		if isDir(filepath.Join(dir, m)) {
			others++
		}
	}
	blobs := isDir(filepath.Join(dir, blockBlob))
	switch {
	case !blobs && others > 1:
		return Plain, fmt.Errorf("%w: it is a Data Box Disk without %s, whose order takes no block blobs", ErrRefused, blockBlob)
	case blobs && (others > 0 || !below):
		return Disk, nil
	}
	return Plain, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// shareOf tells whether a directory is a share of a Data Box, by its name or that of what is mounted there, and of which account and for what.
func shareOf(dir string) (account, what string, ok bool) {
	for _, name := range append([]string{filepath.Base(dir)}, mountedFrom(dir)...) {
		name = name[strings.LastIndexAny(name, `/\`)+1:]
		account, what, ok = strings.Cut(name, "_")
		switch what {
		case blockBlob, "PageBlob", "AzFile", "AzureFile", "ManagedDisk":
			if ok && isAccount(account) {
				return account, what, true
			}
		}
	}
	return "", "", false
}

// isAccount tells whether a storage account may have the name.
func isAccount(name string) bool {
	return len(name) >= 3 && len(name) <= 24 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// settle chooses the container and the directory from the parts of the path below the device.
func (p *Place) settle(rel []string, container string) error {
	if p.Kind == Disk && len(rel) > 0 {
		if rel[0] != blockBlob {
			return fmt.Errorf("%w: on a Data Box Disk a seed goes below %s, not to %s; give the disk's root", ErrRefused, blockBlob, rel[0])
		}
		rel = rel[1:]
	}
	if p.Container = container; len(rel) > 0 {
		p.Container, rel = rel[0], rel[1:]
	}
	if err := CheckContainer(p.Container); err != nil {
		return err
	}
	for _, part := range rel {
		if !plainName(part) {
			return fmt.Errorf("%w: in a container directories are named with lower-case letters, digits, dots, hyphens and underscores, unlike %q", ErrRefused, part)
		}
	}
	p.Root = filepath.Join(append([]string{p.top(), p.Container}, rel...)...)
	if room := p.room(); room < roomForTree {
		return fmt.Errorf("%w: only %d characters of a path are left below %s, and a seed needs %d", ErrRefused, max(room, 0), p.Root, roomForTree)
	}
	return nil
}

// Make makes the directory that the tree goes to where it isn't there. A plain directory is left to its owner.
func (p Place) Make() error {
	if p.Kind == Plain {
		return nil
	}
	if err := os.MkdirAll(p.Root, 0o755); err != nil {
		return fmt.Errorf("making the container %s: %w", p.Container, err)
	}
	return nil
}

// Trees are the places where trees may be found on a medium that has arrived: on a Data Box the containers that are there, sorted by name, else
// the directory itself.
func Trees(path string) ([]Place, error) {
	at, err := physical(path)
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", path, err)
	}
	p, _, err := device(at)
	if err == nil && p.Kind != Plain && (at == p.Device || at == p.top()) {
		return p.containers()
	}
	if err == nil {
		p, err = Resolve(path, "")
	}
	if err != nil {
		return nil, err
	}
	return []Place{p}, nil
}

// containers are those of a device.
func (p Place) containers() (all []Place, err error) {
	entries, err := os.ReadDir(p.top())
	if err != nil {
		return nil, fmt.Errorf("looking for containers: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && CheckContainer(e.Name()) == nil {
			c := p
			c.Root, c.Container = filepath.Join(p.top(), e.Name()), e.Name()
			all = append(all, c)
		}
	}
	return all, nil
}

// top is the directory on a device whose directories are containers.
func (p Place) top() string {
	if p.Kind == Disk {
		return filepath.Join(p.Device, blockBlob)
	}
	return p.Device
}
