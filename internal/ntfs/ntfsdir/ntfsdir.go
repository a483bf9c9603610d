// Package ntfsdir makes a directory tree to be saved of an NTFS volume that no system has mounted:
//
//	v, err := ntfs.Open(img, size)
//	d, err := ntfsdir.Open(v)      // a *source.Dir like any other
//
// What stands for what is in FORMAT.md, "Entries of NTFS and ReFS", and the same as when Windows itself reads the volume: see [source.NTFSPrefix]. Streams with a
// name have an inode of their own, [StreamInode], so that they aren't taken for their file.
//
// Files of the file system itself ($MFT, $Extend ...) are left out. Whatever can't be saved is listed and can't be looked at or opened, so
// that it becomes a problem of the backup's instead of nothing: streams of the root directory, names with a slash, damaged files,
// files that are encrypted, deduplicated or stored elsewhere (cloud, tape).
package ntfsdir

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"waybill/internal/ntfs"
	"waybill/internal/source"
)

// Open returns the root directory of a volume.
func Open(v *ntfs.Volume) (*source.Dir, error) {
	r, err := v.Lookup(v.Root())
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return source.NewDir(&dir{v: v, file: r, root: true}), nil
}

// Transient is what Windows keeps on a volume for itself and can do without: memory that was swapped out, and shadow copies, which are as large as what
// changed since. They are patterns for [source.Excludes], to be put behind the path of the volume's root. Nothing here leaves them out.
var Transient = []string{"/pagefile.sys", "/swapfile.sys", "/hiberfil.sys", "/System Volume Information/*{3808876b-c176-4e48-b7ae-04046e6cc752}"}

// firstOwn is the first record that may be somebody's file: those before are the file system's.
const firstOwn = 16

// dir implements [source.Backend]. Nothing in it changes, so all of it is safe for concurrent use.
type dir struct {
	v    *ntfs.Volume
	file *ntfs.Record
	root bool
}

func (d *dir) Close() error { return nil }

func (d *dir) FileSystem() (source.FileSystem, error) { return fileSystem, nil }

// fileSystem has no slack: nothing changes while it is read.
var fileSystem = source.FileSystem{Name: "ntfs"}

func (d *dir) Self() (source.Stat, error) { return d.stat(d.file), nil }

// listed is a name in the index of a directory.
type listed struct {
	frn       ntfs.FRN
	from, len int // of its name
}

// List reads the files in the order in which they lie on the volume.
func (d *dir) List(l *source.Listing) error {
	var names []byte
	var list []listed
	err := d.file.List(func(e *ntfs.DirEntry) error {
		if e.FRN.Record() >= firstOwn {
			list = append(list, listed{e.FRN, len(names), len(e.Name)})
			names = append(names, e.Name...)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list directory: %w", err)
	}
	slices.SortFunc(list, func(a, b listed) int { return cmp.Compare(a.frn.Record(), b.frn.Record()) })
	var r ntfs.Record
	var full []byte
	if d.root {
		full, err = d.addStreams(l, d.file, nil, full)
	}
	for _, it := range list {
		if err != nil {
			return err
		}
		name := names[it.from : it.from+it.len]
		if e := d.v.LookupInto(it.frn, &r); e != nil || bad(name) {
			err = l.Add(listable(name), source.Unknown, uint64(it.frn)) // asked for again it says why
			continue
		}
		st := d.stat(&r)
		if err = l.AddStat(name, &st); err == nil {
			full, err = d.addStreams(l, &r, name, full)
		}
	}
	return err
}

// addStreams adds the streams of a file as entries. It uses the memory of full.
func (d *dir) addStreams(l *source.Listing, r *ntfs.Record, name, full []byte) ([]byte, error) {
	for i := range r.Streams {
		s := &r.Streams[i]
		if len(s.Name) == 0 || hidden(r, s) {
			continue
		}
		full = append(append(append(full[:0], name...), ':'), s.Name...)
		if _, err := d.file.Find(full); err == nil { // a file has this name: so the stream takes its longer one
			full = append(full, longForm...)
		}
		st := d.statStream(r, s)
		var err error
		if d.root && len(name) == 0 || bad(full) {
			err = l.Add(listable(full), source.Regular, st.Inode)
		} else {
			err = l.AddStat(full, &st)
		}
		if err != nil {
			return full, err
		}
	}
	return full, nil
}

// longForm may be added to any name of a stream. Windows takes it too.
const longForm = ":$DATA"

// bad says that a name can't be that of an entry.
func bad(name []byte) bool { return bytes.ContainsAny(name, "/\x00") }

// listable makes a name that can be listed of one that can't. Nothing is found by it.
func listable(name []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(name, []byte("/"), []byte("\u2215")), []byte{0}, []byte("\u2400"))
}

// target is what a name in a directory stands for: a file or one of its streams.
type target struct {
	*ntfs.Record
	stream *ntfs.StreamInfo // nil for the file
}

// find looks a name up.
func (d *dir) find(name []byte) (target, error) {
	if bad(name) {
		return target{}, fs.ErrInvalid
	}
	frn, err := d.file.Find(name)
	if err == nil && frn.Record() < firstOwn {
		err = fs.ErrNotExist
	}
	if err == nil {
		r, err := d.v.Lookup(frn)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: the directory names file %v, which is gone", ntfs.ErrDamaged, frn)
		}
		return target{Record: r}, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return target{}, err
	}
	short, _ := bytes.CutSuffix(name, []byte(longForm))
	colon := bytes.LastIndexByte(short, ':')
	if colon < 0 {
		return target{}, d.missing(name)
	}
	return d.findStream(short[:colon], string(short[colon+1:]))
}

func (d *dir) findStream(name []byte, stream string) (target, error) {
	t := target{Record: d.file}
	var err error
	if len(name) > 0 {
		if t, err = d.find(name); err != nil {
			return t, err
		}
	}
	if t.stream = t.Stream(stream); t.stream == nil || stream == "" {
		return t, fs.ErrNotExist
	}
	if len(name) == 0 {
		return t, errRootStream
	}
	return t, nil
}

var (
	errRootStream = errors.New("a stream of the root directory, which isn't saved")
	errBadName    = errors.New("its name has a slash or a zero in it")
)

// missing is the error for a name that isn't there, unless it stands for one that can't be saved.
func (d *dir) missing(name []byte) error {
	if !bytes.Contains(name, []byte("\u2215")) && !bytes.Contains(name, []byte("\u2400")) {
		return fs.ErrNotExist
	}
	err := d.file.List(func(e *ntfs.DirEntry) error {
		if bad(e.Name) && bytes.Equal(listable(e.Name), name) {
			return errBadName
		}
		return nil
	})
	if err == nil {
		err = fs.ErrNotExist
	}
	return err
}

// Stat implements [source.Backend], as do the methods below.
func (d *dir) Stat(name []byte) (source.Stat, error) {
	t, err := d.find(name)
	if err != nil {
		return source.Stat{}, fmt.Errorf("stat: %w", err)
	}
	return d.statTarget(t), nil
}

func (d *dir) OpenDir(name []byte) (*source.Dir, error) {
	t, err := d.find(name)
	if err == nil && d.statTarget(t).Kind != source.Directory {
		err = source.ErrReplaced
	}
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return source.NewDir(&dir{v: d.v, file: t.Record}), nil
}

func (d *dir) Readlink(name []byte) ([]byte, error) {
	t, err := d.find(name)
	if err != nil {
		return nil, fmt.Errorf("read link: %w", err)
	}
	path := linkPath(t.Record)
	if t.stream != nil || path == nil {
		return nil, fmt.Errorf("read link: %w", source.ErrReplaced)
	}
	return path, nil
}

func (d *dir) Xattrs(name []byte, add func(string, []byte)) error {
	if name == nil {
		return d.xattrs(target{Record: d.file}, add)
	}
	t, err := d.find(name)
	if err != nil {
		return fmt.Errorf("list attributes: %w", err)
	}
	return d.xattrs(t, add)
}
