package source

// Backend is a directory of a tree that is not the system's own: of a volume in an image, say. [NewDir] makes a [Dir] of it, through
// which it is used as any other, by the same rules: its methods may be called from several goroutines at once, except List and Close;
// errors are ErrReplaced and fs.ErrNotExist where Dir's are. Names are checked by nobody before; what they are is up to the backend.
type Backend interface {
	// Self returns the metadata of the directory itself.
	Self() (Stat, error)

	// List adds all names to l, in any order: with [Listing.AddStat] where the metadata costs nothing, else with [Listing.Add].
	List(l *Listing) error

	// Stat returns the metadata of the entry called name. It isn't called for what List added with its metadata.
	Stat(name []byte) (Stat, error)

	// OpenDir opens the directory called name. It doesn't need this one to stay open.
	OpenDir(name []byte) (*Dir, error)

	// Open opens the regular file called name, or something else if that is what it is by now: Dir.Open finds out.
	Open(name []byte) (FileBackend, error)

	// Readlink returns the target of the symbolic link called name.
	Readlink(name []byte) ([]byte, error)

	// Xattrs calls add with each extended attribute of the entry called name, or of the directory itself when name is nil. The value
	// is copied. Attributes that can't be read are said in the error, all others are added.
	Xattrs(name []byte, add func(name string, value []byte)) error

	FileSystem() (FileSystem, error)
	Close() error
}

// FileBackend is an open file of such a tree, see [File]. Its methods may be called from several goroutines at once, except Close.
type FileBackend interface {
	Stat() (Stat, error)
	ReadAt(p []byte, off int64) (int, error)
	NextData(off int64) (start, end int64, err error) // as File's
	Xattrs(add func(name string, value []byte)) error // as Backend's
	FileSystem() (FileSystem, error)
	Close() error
}

// NewDir makes a directory of a backend. Closing it closes the backend.
func NewDir(b Backend) *Dir { return &Dir{tree: b} }

// fill replaces what b holds by the attributes that each calls its argument with.
func (b *XattrBuffer) fill(each func(add func(name string, value []byte)) error) ([]Xattr, error) {
	if b == nil {
		b = new(XattrBuffer)
	}
	b.list, b.arena = b.list[:0], b.arena[:0]
	err := each(func(name string, value []byte) {
		at := len(b.arena)
		b.arena = append(append(b.arena, name...), value...)
		mid, end := at+len(name), len(b.arena)
		b.list = append(b.list, Xattr{Name: b.arena[at:mid:mid], Value: b.arena[mid:end:end]})
	})
	b.sort()
	return b.list, err
}
