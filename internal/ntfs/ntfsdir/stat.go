package ntfsdir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"

	"waybill/internal/ntfs"
	"waybill/internal/source"
)

// StreamInode is the inode of a stream with a name: it must not be taken for its file, or for another of its streams.
func StreamInode(file uint64, stream []byte) uint64 {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], file)
	h.Write(b[:])
	h.Write(stream)
	return h.Sum64()
}

func (d *dir) statTarget(t target) source.Stat {
	if t.stream != nil {
		return d.statStream(t.Record, t.stream)
	}
	return d.stat(t.Record)
}

func (d *dir) stat(r *ntfs.Record) source.Stat {
	st := d.common(r)
	st.Nlink = max(1, uint64(len(r.Names)))
	st.Kind, st.Mode = source.Regular, 0o644
	if r.Directory {
		st.Kind, st.Mode = source.Directory, 0o755
	}
	if s := r.Data(); s != nil && !r.Directory {
		st.Size, st.Blocks = s.Size, blocks(s)
		if r.ReparseTag == ntfs.TagWOF {
			st.Blocks = (s.Size + 511) / 512
		}
	}
	if r.Standard.Attributes&ntfs.AttrReadOnly != 0 {
		st.Mode &^= 0o222
	}
	if path := linkPath(r); path != nil {
		st.Kind, st.Mode, st.Size, st.Blocks = source.Symlink, 0o777, int64(len(path)), 0
	}
	return st
}

func (d *dir) statStream(r *ntfs.Record, s *ntfs.StreamInfo) source.Stat {
	st := d.common(r)
	st.Kind, st.Mode, st.Nlink = source.Regular, 0o644, 1
	st.Inode = StreamInode(uint64(r.FRN), s.Name)
	st.Size, st.Blocks = s.Size, blocks(s)
	return st
}

func (d *dir) common(r *ntfs.Record) source.Stat {
	st := source.Stat{Dev: d.v.Info().Serial, Inode: uint64(r.FRN)}
	st.MtimeSec, st.MtimeNsec = r.Standard.Modified.Unix()
	st.CtimeSec, st.CtimeNsec = r.Standard.Changed.Unix()
	return st
}

// blocks counts what was never written as a hole, though room is reserved for it.
func blocks(s *ntfs.StreamInfo) int64 { return (min(s.Allocated, s.Valid) + 511) / 512 }

// linkPath returns where a symbolic link or a junction leads, nil for what is neither.
func linkPath(r *ntfs.Record) []byte {
	if r.ReparseTag != ntfs.TagSymlink && r.ReparseTag != ntfs.TagMountPoint {
		return nil
	}
	b, err := r.Reparse()
	if err != nil {
		return nil
	}
	path, _ := source.LinkTarget(b)
	return path
}

func (d *dir) xattrs(t target, add func(string, []byte)) error {
	if t.stream != nil {
		return nil
	}
	r := t.Record
	attributes := r.Standard.Attributes &^ ntfs.AttrDirectory
	if r.Directory {
		attributes |= ntfs.AttrDirectory
	}
	served := source.Served(r.ReparseTag)
	if served {
		attributes &^= ntfs.AttrReparsePoint
	}
	if attributes == 0 {
		attributes = ntfs.AttrNormal
	}
	var b [8]byte
	binary.LittleEndian.PutUint32(b[:], attributes)
	add(source.NTFSAttrib, b[:4])
	binary.LittleEndian.PutUint64(b[:], uint64(r.Standard.Created))
	add(source.NTFSCrtime, b[:])
	acl, err := d.v.SecurityOf(r)
	problems := give(add, source.NTFSACL, acl, err)
	if r.ReparseTag != 0 && !served {
		reparse, err := r.Reparse()
		problems = errors.Join(problems, give(add, source.NTFSReparse, reparse, err))
	}
	ea, err := r.EA()
	return errors.Join(problems, give(add, source.NTFSEA, ea, err))
}

// give adds what there is.
func give(add func(string, []byte), name string, value []byte, err error) error {
	switch {
	case err == nil:
		add(name, value)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("read attribute %q: %w", name, err)
}
