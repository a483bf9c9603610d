package databox

import (
	"fmt"
	"strings"
)

// Limits of the carrier.
const (
	MaxFiles  = 100_000 // of an order of disks, all together
	MaxBlob   = 7 << 40 // bytes of a block blob on a Data Box Disk; a Data Box takes twice that
	maxPath   = 256     // characters on a disk, as Windows counts them there; the carrier's check of a disk fails beyond
	maxName   = 1024    // characters of a blob's name
	maxParts  = 254     // of a blob's name
	maxPart   = 255     // characters between slashes
	maxBucket = 63      // characters of a container's name

	roomForTree = 160 // characters that names of a tree may need: packs take 119
)

// CheckContainer fails with ErrRefused when no container may have the name: 3 to 63 lower-case letters, digits and single hyphens, none at an end.
func CheckContainer(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	switch {
	case len(name) < 3 || len(name) > maxBucket:
	case strings.Trim(name, letters) != "" || strings.Contains(name, "--") || name[0] == '-' || name[len(name)-1] == '-':
	default:
		return nil
	}
	return fmt.Errorf("%w: a container's name has 3 to 63 lower-case letters, digits and single hyphens, unlike %.80q", ErrRefused, name)
}

// Check fails with ErrRefused when the carrier would rename or drop a file of the tree, by its name below Root, with slashes,
// and its size. A plain directory takes everything.
func (p Place) Check(name string, size int64) error {
	if p.Kind == Plain {
		return nil
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%.200s: %w: %s", name, ErrRefused, fmt.Sprintf(format, args...))
	}
	if room := p.room(); len(name) > room {
		return refuse("its path is %d characters too long", len(name)-room)
	}
	if size > MaxBlob {
		return refuse("it is larger than a blob may be, %d bytes", int64(MaxBlob))
	}
	parts := strings.Split(name, "/")
	if len(parts)+strings.Count(p.inside(), "/") > maxParts {
		return refuse("it is too deep")
	}
	for i, part := range parts {
		// A Data Box doesn't tell upper case from lower: of two names that differ in nothing else one would be lost.
		if !plainName(part) && (i > 0 || part != "SHA256SUMS" && part != "README.txt") {
			return refuse("names have lower-case letters, digits, dots, hyphens and underscores, and don't end in a dot")
		}
	}
	return nil
}

// CheckFiles fails with ErrRefused when an order of disks can't have that many files.
func CheckFiles(n int) error {
	if n > MaxFiles {
		return fmt.Errorf("%w: an order of disks has at most %d files, not %d; use larger packs", ErrRefused, MaxFiles, n)
	}
	return nil
}

// plainName tells whether the carrier takes a part of a name as it is, on every file system on the way.
func plainName(part string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789._-"
	return part != "" && len(part) <= maxPart && part[len(part)-1] != '.' && strings.Trim(part, letters) == ""
}

// inside is the path of Root as the carrier sees it from the device, with a slash at the end.
func (p Place) inside() string {
	rel := strings.TrimPrefix(p.Root, p.Device)
	return strings.ReplaceAll(strings.Trim(rel, `/\`), `\`, "/") + "/"
}

// room is how many characters a name below Root may have. A disk is `X:\` where it is checked.
func (p Place) room() int {
	in := p.inside()
	if p.Kind == Disk {
		return maxPath - len(`X:\`) - len(in)
	}
	return maxName - (len(in) - len(p.Container) - 1)
}

const (
	usual   = 512 << 20 // bytes of a pack
	least   = 16 << 20
	largest = 1<<32 - 1    // manifest/FORMAT.md, section 5
	files   = MaxFiles / 2 // packs of an order; the rest is for parity, catalogue packs and documents
	share   = 64           // packs of a disk at least, so that its last part is used, too
)

// PackSize is how large the data packs should be of a set on so many disks that take total bytes together: less than usual on small
// disks, and more on many large ones, so that all their files together stay within MaxFiles.
func PackSize(total int64, disks int) int64 {
	size := max(min(usual, total/int64(max(disks, 1))/share), least)
	if need := (total + files - 1) / files; need > size {
		size = (need + 1<<20 - 1) &^ (1<<20 - 1)
	}
	return min(size, largest)
}
