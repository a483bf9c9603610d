// Package treetest is for tests: it makes directory trees full of what a file system can hold, edits them at random, and
// compares two of them exactly.
//
//	err := treetest.Make(src, seed, treetest.Options{})
//	backup(src); done, err := treetest.Edit(src, seed, 20); backup(src); restore(dst)
//	for _, difference := range treetest.Compare(src, dst) { t.Error(difference) }
//
// The same seed gives the same tree, apart from what the file system or missing privileges refuse: extended attributes, devices,
// owners and strange modes are made where that is possible, so tests run as root see most. Trees may be deeper than paths can say;
// [RemoveAll] removes them.
//
// It is a yardstick: it shares no code with what it measures, goes through package unix alone, and takes no shortcuts. Not
// compared are ctime, inode numbers, and the times of access and of birth. It works on Linux only; elsewhere Make and Edit return errors.ErrUnsupported.
package treetest

// Options says what Make makes. The zero value is a tree of about 150 entries of all kinds.
type Options struct {
	Entries int     // how many entries, about; 150 if zero
	MaxFile int64   // no file is larger; 2 MiB if zero
	Sizes   []int64 // sizes that matter, such as a chunk's bounds: files of these, of one byte less and one more are made too
	Wide    int     // one directory has that many entries of its own besides
	Shallow bool    // no path is longer than PATH_MAX
}

func (o Options) withDefaults() Options {
	if o.Entries == 0 {
		o.Entries = 150
	}
	if o.MaxFile == 0 {
		o.MaxFile = 2 << 20
	}
	return o
}

// Aspect is something Compare can be told to ignore.
type Aspect uint

// The aspects.
const (
	Root   Aspect = 1 << iota // the metadata of the two directories themselves
	Owners                    // uid and gid
	Modes
	Times // mtime
	Xattrs
	Holes
	Links // which names are one file
)
