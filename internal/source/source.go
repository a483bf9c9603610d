// Package source reads what is to be saved: directories, the metadata of what they hold, and file contents.
//
// A [Dir] is an open directory. From one start, [OpenDir], everything below is reached by one name at a time, relative
// to the directory that holds it, so paths of any length work and a directory renamed meanwhile can't lead elsewhere:
//
//	d, err := source.OpenDir("/srv")
//	defer d.Close()
//	var l source.Listing
//	err = d.List(&l)
//	for i := range l.Len() {
//		var st source.Stat
//		err := d.Stat(&l, i, &st)         // errors.Is(err, fs.ErrNotExist): it vanished, no matter
//		...
//		f, err := d.Open(l.Name(i))       // regular files only
//	}
//
// Trees that are not the system's own are read in the same way: [NewDir] makes a Dir of a [Backend], [Virtual] one of several Dirs.
//
// [Excludes] says what is left out, [FileSystem] what kind of file system a directory lies on, [Rotational] how it
// likes to be read, [Names] what owners are called.
//
// Reading is all it does. Nothing is written, access times are left alone where the system allows that, and symbolic
// links are never followed below the start. The package doesn't walk, compare or remember: its caller does. Names are bytes.
//
// On Linux all of it works on file descriptors and system calls, on Windows on handles and names relative to them.
//
// On Windows "/" holds the drives, so paths are /C:/Users/...; the inode is the file reference (FRN), dev the volume's serial number, ctime the
// time of the last change of whatever kind. Owners are 0 and modes 0755 and 0644, without w for what is read-only: what Windows itself has
// of an entry is in attributes, see [NTFSPrefix], and streams are entries, name:stream; those of a drive's root are left out. A listing has the
// metadata of its entries, from the moment it was made. Symbolic links, junctions and volumes mounted in directories are symbolic
// links, never followed. An administrator may read everything (SeBackupPrivilege). What is read may be noted as accessed.
//
// On other systems it works plainly, through package os: there entries have no inode, links count as one, ctime is mtime, and there
// are no owners, extended attributes or holes.
//
// Errors say what was done ("open: permission denied"), not to what: the caller knows the path, and here only the name is known.
package source

import "errors"

// ErrReplaced is in errors about an entry that turned out to be of another kind than was asked for: it was replaced
// since its directory was listed.
var ErrReplaced = errors.New("it was replaced by something of another kind meanwhile")

// Kind is the type of an entry, by its number in FORMAT.md section 7.
type Kind uint8

// The kinds. Unknown is for listings of file systems that don't tell, and for what no Kind names.
const (
	Unknown Kind = iota
	Regular
	Directory
	Symlink
	FIFO
	Socket
	CharDevice
	BlockDevice
)

// Stat is the metadata of one entry.
type Stat struct {
	Kind                 Kind
	Mode                 uint32 // the low 12 bits of st_mode
	Dev, Inode, Nlink    uint64
	Size                 int64
	Blocks               int64 // of 512 bytes each
	MtimeSec, CtimeSec   int64
	MtimeNsec, CtimeNsec uint32
	UID, GID             uint32
	RdevMajor, RdevMinor uint32 // of devices
}

// Sparse says whether a file occupies less than its size, so that looking for its holes is worth the calls.
// A file whose holes are made up for by space reserved elsewhere in it goes unnoticed: its holes are read, as zeros.
func (st *Stat) Sparse() bool { return st.Blocks*512 < st.Size }
