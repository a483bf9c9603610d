package source

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// A volume is what all directories below a root have in common: nothing leads from one volume to another, see kindOf.
type volume struct {
	dev   uint64 // the serial number
	name  string // of the file system
	flags uint32
	wide  bool // file ids have 128 bits
}

// openRoot opens a directory by its path, in Windows' form or with slashes as in a recovery point.
func openRoot(path string) (*Dir, error) {
	if strings.Trim(path, `/\`) == "" {
		return drives()
	}
	path, err := rootPath(path)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	rights()
	u, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	h, err := windows.CreateFile(u, listIt, shareAll, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	var info fileInfo
	if err = info.get(h); err == nil && !info.Directory {
		err = windows.ERROR_DIRECTORY
	}
	if err != nil {
		windows.CloseHandle(h)
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return &Dir{sys: dirHandle{h: h, vol: volumeOf(h)}}, nil
}

// rootPath makes a path one that Windows takes as it is, without a limit of its length: \\?\C:\Users.
func rootPath(path string) (string, error) {
	if len(path) >= 3 && path[0] == '/' && path[2] == ':' {
		path = path[1:]
	}
	if len(path) == 2 && path[1] == ':' {
		path += `\` // without it, it would be where the process is on that drive
	}
	path, err := filepath.Abs(filepath.FromSlash(path))
	if err != nil {
		return "", err
	}
	switch {
	case strings.HasPrefix(path, `\\?\`), strings.HasPrefix(path, `\\.\`):
		return path, nil
	case strings.HasPrefix(path, `\\`):
		return `\\?\UNC` + path[1:], nil
	}
	return `\\?\` + path, nil
}

// drives is the directory of the drives.
func drives() (*Dir, error) {
	mask, err := windows.GetLogicalDrives()
	if err != nil {
		return nil, fmt.Errorf("look for drives: %w", err)
	}
	all := map[string]func() (*Dir, error){}
	for i := range 26 {
		if mask>>i&1 != 0 {
			name := string(rune('A'+i)) + ":"
			all[name] = func() (*Dir, error) { return openRoot("/" + name) }
		}
	}
	return Virtual(all), nil
}

// volumeOf asks about the volume of an open directory. What can't be told is zero.
func volumeOf(h windows.Handle) *volume {
	v := &volume{}
	var serial uint32
	var name [64]uint16
	if windows.GetVolumeInformationByHandle(h, nil, 0, &serial, nil, &v.flags, &name[0], uint32(len(name))) == nil {
		v.dev, v.name = uint64(serial), windows.UTF16ToString(name[:])
	}
	v.wide = v.name == "ReFS"
	if serial, _, err := fileID(h); err == nil {
		v.dev = serial
	}
	return v
}

// inode is a file's id: on NTFS its file reference. Of an id of 128 bits that doesn't fit, a hash.
func (v *volume) inode(h windows.Handle, info *fileInfo) uint64 {
	if !v.wide {
		return uint64(info.ID)
	}
	_, id, err := fileID(h)
	if err != nil {
		return 0
	}
	if binary.LittleEndian.Uint64(id[8:]) == 0 {
		return binary.LittleEndian.Uint64(id[:])
	}
	sum := sha256.Sum256(id[:])
	return binary.LittleEndian.Uint64(sum[:])
}

func (v *volume) fileSystem() FileSystem {
	if v.name == "NTFS" || v.name == "ReFS" {
		return FileSystem{Name: strings.ToLower(v.name), Slack: fineSlack}
	}
	return FileSystem{Name: strings.ToLower(v.name), Slack: coarseSlack}
}

func rotational(string) bool { return false }
