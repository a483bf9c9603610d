package source

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/windows"
)

// set takes what the system says of an entry. A stream has a kind of its own, and one name.
func (st *Stat) set(info *fileInfo, inode uint64, v *volume, stream bool) {
	*st = Stat{Kind: kindOf(info.Attributes, info.Tag), Mode: 0o644, Dev: v.dev, Inode: inode, Nlink: uint64(info.Links)}
	if stream {
		st.Kind, st.Nlink = Regular, 1
	}
	if st.Kind == Directory {
		st.Mode = 0o755
	}
	if info.Attributes&windows.FILE_ATTRIBUTE_READONLY != 0 {
		st.Mode &^= 0o222
	}
	st.MtimeSec, st.MtimeNsec = unixTime(info.Written)
	st.CtimeSec, st.CtimeNsec = unixTime(info.Changed)
	if st.Kind != Regular {
		return
	}
	st.Size = info.Size
	st.Blocks = (info.Size + 511) / 512
	if info.Attributes&windows.FILE_ATTRIBUTE_SPARSE_FILE != 0 {
		st.Blocks = info.Allocated / 512
	}
}

// kindOf tells the kind of an entry. Reparse points that lead elsewhere are symbolic links, be they to directories, junctions or mounted
// volumes: nothing is followed. Other reparse points are what they would be without.
func kindOf(attributes, tag uint32) Kind {
	switch {
	case attributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0 && (tag == tagSymlink || tag == tagMountPoint):
		return Symlink
	case attributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0:
		return Directory
	}
	return Regular
}

// unixTime converts 100 ns since 1601.
func unixTime(t int64) (sec int64, nsec uint32) {
	const epoch = 11644473600 // from 1601 to 1970
	sec, rest := t/1e7, t%1e7
	if rest < 0 {
		sec, rest = sec-1, rest+1e7
	}
	return sec - epoch, uint32(rest) * 100
}

// isStream says whether a name is that of a stream: a colon can't be in others.
func isStream(name []byte) bool { return bytes.IndexByte(name, ':') >= 0 }

// statAt looks at an entry by opening it: what the directory says of it may be out of date, for a file with several names or one that
// is being written.
func statAt(dir windows.Handle, name []byte, v *volume, st *Stat) error {
	h, err := openAt(dir, name, lookAt, alone)
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	defer windows.CloseHandle(h)
	return statHandle(h, v, isStream(name), st)
}

func statHandle(h windows.Handle, v *volume, stream bool, st *Stat) error {
	var info fileInfo
	if err := info.get(h); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	st.set(&info, v.inode(h, &info), v, stream)
	return nil
}
