package hwtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FileSystem is what a medium was formatted with.
type FileSystem struct {
	Type       string `json:"type"`                  // "ext4", "vfat", "fuseblk", "NTFS"
	Source     string `json:"source,omitempty"`      // the device it is on
	Size       int64  `json:"size"`                  // bytes
	Free       int64  `json:"free"`                  // bytes that an ordinary user may still write
	FreeFiles  int64  `json:"free_files"`            // files that may still be made; -1 for any number
	MaxFile    int64  `json:"max_file,omitempty"`    // bytes of the largest file; 0 for no limit that matters
	ReadOnly   bool   `json:"read_only"`             // nothing can be written
	Memory     bool   `json:"memory,omitempty"`      // it is no medium at all
	System     bool   `json:"system,omitempty"`      // the machine runs from it
	SetsAside  bool   `json:"-"`                     // fallocate is real there, and cheap
	CommonName string `json:"common_name,omitempty"` // of Type, for people: "NTFS"
}

// maxFAT is the largest file on FAT32.
const maxFAT = 1<<32 - 1

// known completes what follows from a file system's type.
func (s *FileSystem) known() {
	switch s.Type {
	case "vfat", "msdos", "FAT32", "FAT":
		s.CommonName, s.MaxFile = "FAT32", maxFAT
	case "exfat":
		s.CommonName = "exFAT"
	case "ntfs", "ntfs3", "fuseblk":
		s.CommonName = "NTFS"
	case "tmpfs", "ramfs":
		s.Memory = true
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs":
		s.SetsAside = true
	}
}

// name is the type for people.
func (s *FileSystem) name() string {
	if s.CommonName != "" {
		return s.CommonName
	}
	return s.Type
}

// manyFiles is how many files a set of packs, its parity and documents may have beside the packs.
const manyFiles = 1000

// limits are what the file system can't do.
func (r *Report) limits(pack int64) {
	s := &r.FileSystem
	if s.ReadOnly {
		hint := "mount it for writing"
		if s.CommonName == "NTFS" {
			hint = "NTFS that was not unmounted cleanly is mounted so: let Windows shut down without fast startup, or chkdsk or ntfsfix mend it"
		}
		r.unfit("it is mounted read-only; %s", hint)
	}
	if s.MaxFile > 0 && pack > s.MaxFile {
		r.unfit("%s holds files of %s at most, packs have %s", s.name(), size(s.MaxFile), size(pack))
	} else if s.MaxFile > 0 {
		r.remark("%s holds files of %s at most, and has no journal: exFAT, NTFS or ext4 are better", s.name(), size(s.MaxFile))
	}
	if pack > 0 && s.Free < pack+pack/10 {
		r.unfit("there is no room for one pack: %s are free, packs have %s", size(s.Free), size(pack))
	}
	if needed := manyFiles + s.Free/max(pack, 1<<20); s.FreeFiles >= 0 && s.FreeFiles < needed {
		r.remark("only %d more files can be made on it", s.FreeFiles)
		if s.FreeFiles < manyFiles/10 {
			r.unfit("it has no room for more files")
		}
	}
	if s.Memory {
		r.remark("this is memory, not a medium")
	}
}

// structure notices a Data Box, whose root is not for files.
func (r *Report) structure(path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		r.unfit("it can't be listed: %v", err)
		return
	}
	has := func(match func(name string) bool) bool {
		return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.IsDir() && match(e.Name()) })
	}
	if has(func(n string) bool { return n == "BlockBlob" }) && has(func(n string) bool { return n == "PageBlob" || n == "AzureFile" }) {
		r.remark("it is a Data Box Disk: write to a directory below %s, named as the container", filepath.Join(path, "BlockBlob"))
	} else if strings.HasSuffix(strings.ToLower(filepath.Base(path)), "_blockblob") {
		r.remark("it is a share of a Data Box: write to a directory below it, named as the container")
	}
}
