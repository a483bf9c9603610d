package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/source"
	"waybill/manifest"
)

// entryLine is an entry of a recovery point as JSON. Path and Target are escaped paths.
type entryLine struct {
	Path   string    `json:"path"`
	Kind   string    `json:"kind"`
	Mode   string    `json:"mode"` // octal
	UID    uint32    `json:"uid"`
	GID    uint32    `json:"gid"`
	User   string    `json:"user,omitempty"`
	Group  string    `json:"group,omitempty"`
	Size   int64     `json:"size"`
	Mtime  time.Time `json:"mtime"`
	Target string    `json:"target,omitempty"`
	Flags  []string  `json:"flags,omitempty"`
}

var kinds = map[catalog.Kind]string{catalog.File: "file", catalog.Directory: "directory", catalog.Symlink: "symlink", catalog.Fifo: "fifo",
	catalog.Socket: "socket", catalog.CharDevice: "character device", catalog.BlockDevice: "block device"}

var flagNames = []struct {
	flag catalog.Flags
	name string
}{
	{catalog.Changed, "changed"}, {catalog.Partial, "partial"}, {catalog.HardLinked, "hard link"},
	{catalog.MountPoint, "mount point"}, {catalog.Unreadable, "unreadable"},
}

func newEntryLine(p *domain.Point, full []byte, e *catalog.Entry) entryLine {
	l := entryLine{Path: manifest.EscapePath(full), Kind: kinds[e.Kind], Mode: fmt.Sprintf("%04o", e.Mode), UID: e.UID, GID: e.GID,
		User: p.Users[strconv.FormatUint(uint64(e.UID), 10)], Group: p.Groups[strconv.FormatUint(uint64(e.GID), 10)],
		Size: e.Size, Mtime: time.Unix(e.Mtime.Sec, int64(e.Mtime.Nsec)).UTC(), Target: manifest.EscapePath(e.Target)}
	for _, f := range flagNames {
		if e.Flags&f.flag != 0 {
			l.Flags = append(l.Flags, f.name)
		}
	}
	return l
}

// writeEntry writes an entry as ls -l does.
func writeEntry(w io.Writer, e *catalog.Entry, l *entryLine) {
	user, group := l.User, l.Group
	if user == "" {
		user = strconv.FormatUint(uint64(l.UID), 10)
	}
	if group == "" {
		group = strconv.FormatUint(uint64(l.GID), 10)
	}
	fmt.Fprintf(w, "%s%s  %-8s %-8s %13s  %s  %s", e.Kind, modeText(e.Mode), user, group, cli.Count(l.Size),
		l.Mtime.Local().Format(time.DateTime), l.Path)
	if l.Target != "" {
		fmt.Fprintf(w, " -> %s", l.Target)
	}
	if len(l.Flags) > 0 {
		fmt.Fprintf(w, "  (%s)", strings.Join(l.Flags, ", "))
	}
	fmt.Fprintln(w)
}

func modeText(mode uint32) string {
	b := []byte("rwxrwxrwx")
	for i := range b {
		if mode&(1<<(8-i)) == 0 {
			b[i] = '-'
		}
	}
	for i, at := range []int{2, 5, 8} {
		if mode&(0o4000>>i) != 0 {
			const set, unset = "sst", "SST"
			if b[at] == 'x' {
				b[at] = set[i]
			} else {
				b[at] = unset[i]
			}
		}
	}
	return string(b)
}

// savedPath turns a path as the user writes it into one of a recovery point: absolute, cleaned, without the
// first slash. It is an escaped path, as ls prints it, or on Windows one that begins with a drive, C:\Users.
func savedPath(arg string) ([]byte, error) {
	if filepath.VolumeName(arg) != "" {
		at, ok := source.TreePath(filepath.Clean(arg))
		if !ok {
			return nil, cli.Errorf(cli.Usage, "%s is on no drive", arg)
		}
		return []byte(at[1:]), nil
	}
	raw, err := manifest.UnescapePath(arg)
	if err != nil {
		return nil, cli.Errorf(cli.Usage, "%w", err)
	}
	return []byte(strings.TrimPrefix(path.Clean("/"+string(raw)), "/")), nil
}

// lookUp finds what a path names in a recovery point.
func lookUp(ctx context.Context, r *reading, p *domain.Point, arg string) (catalog.Entry, []byte, error) {
	at, err := savedPath(arg)
	if err != nil {
		return catalog.Entry{}, nil, err
	}
	root, err := p.RootEntry()
	if err != nil {
		return root, nil, err
	}
	e, err := catalog.Resolve(ctx, r, root, at)
	if errors.Is(err, fs.ErrNotExist) && !missingPack(err) {
		return e, nil, cli.Errorf(cli.Failed, "recovery point %.12s has no %s", p.Digest, arg).
			Hinted("`waybill ls %.12s` begins at the top; `waybill find %.12s PATTERN` looks everywhere", p.Digest, p.Digest)
	}
	return e, append([]byte("/"), at...), err
}
