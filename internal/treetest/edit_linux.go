package treetest

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// Edit makes n random changes in the tree at dir and says which, for the message of a test that fails. A change the system
// refuses isn't made.
func Edit(dir string, seed uint64, n int) (log []string, err error) {
	root, err := openDir(unix.AT_FDCWD, dir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	e := &editor{dice: newDice(seed ^ 0xed17), root: root}
	for len(e.log) < n && e.tries < 20*n {
		e.tries++
		if err := e.change(); err != nil && !passing(err) {
			return e.log, fmt.Errorf("editing %s, seed %d, change %d: %w", dir, seed, len(e.log)+1, err)
		}
	}
	return e.log, nil
}

// passing are the errors of changes that can't be made to what the dice chose.
func passing(err error) bool {
	for _, errno := range []unix.Errno{unix.EEXIST, unix.ENOENT, unix.ENOTDIR, unix.EISDIR, unix.ENOTEMPTY, unix.ENAMETOOLONG, unix.ETXTBSY, unix.EILSEQ} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return refused(err)
}

type editor struct {
	dice
	root  int
	tries int
	log   []string
	all   []node // what is there now
}

// node is an entry by its path below the root, which may be longer than PATH_MAX.
type node struct {
	path string
	kind uint32
}

// place is a name in an open directory.
type place struct {
	dir  int
	name string
}

// change makes one change, or fails because it can't.
func (e *editor) change() error {
	e.all = e.all[:0]
	if err := e.collect(e.root, ""); err != nil {
		return err
	}
	type edit struct {
		name string
		do   func() error
	}
	on := func(kind uint32, do func(place) error) func() error { return func() error { return e.on(kind, do) } }
	const any = 0
	edits := []edit{
		{"create a file", func() error { return e.into(e.createFile) }},
		{"create a directory", func() error { return e.into(e.createDir) }},
		{"create a link, fifo or socket", func() error { return e.into(e.createOther) }},
		{"modify in place", on(unix.S_IFREG, e.modify)},
		{"modify in place, mtime set back", on(unix.S_IFREG, e.modifySilently)},
		{"append", on(unix.S_IFREG, e.grow)},
		{"truncate", on(unix.S_IFREG, e.truncate)},
		{"punch a hole", on(unix.S_IFREG, e.punch)},
		{"replace a file by another of its size", on(unix.S_IFREG, e.replace)},
		{"replace a file by a directory or back", e.swapKind},
		{"rename within", on(any, e.renameWithin)},
		{"rename across", func() error { return e.across(e.rename) }},
		{"exchange", func() error { return e.across(e.exchange) }},
		{"hard link", func() error { return e.across(e.hardLink) }},
		{"delete", on(any, e.remove)},
		{"change a link's target", on(unix.S_IFLNK, e.retarget)},
		{"change the mode", on(any, func(p place) error { return e.mode(p.dir, p.name, e.kind(p)) })},
		{"change the owner", on(any, func(p place) error { return e.own(p.dir, p.name, 0) })},
		{"change the mtime", on(any, func(p place) error { return e.time(p.dir, p.name, 0) })},
		{"change attributes", on(any, func(p place) error { return e.attributes(p.dir, p.name, e.kind(p)) })},
	}
	chosen := edits[e.IntN(len(edits))]
	e.log = append(e.log, chosen.name)
	err := chosen.do()
	if err != nil {
		e.log = e.log[:len(e.log)-1]
		return fmt.Errorf("%s: %w", chosen.name, err)
	}
	return nil
}

// note adds to what the log says of the change being made.
func (e *editor) note(format string, args ...any) {
	e.log[len(e.log)-1] += fmt.Sprintf(format, args...)
}

func (e *editor) collect(dir int, at string) error {
	names, err := readNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		n := node{path.Join(at, name), e.kind(place{dir, name})}
		e.all = append(e.all, n)
		if n.kind != unix.S_IFDIR {
			continue
		}
		fd, err := openDir(dir, name)
		if errors.Is(err, unix.EACCES) {
			continue
		}
		if err != nil {
			return err
		}
		err = e.collect(fd, n.path)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *editor) kind(p place) uint32 {
	var st unix.Stat_t
	if unix.Fstatat(p.dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return 0
	}
	return st.Mode & unix.S_IFMT
}

// on does something to an entry of a kind, 0 for any.
func (e *editor) on(kind uint32, do func(place) error) error {
	var fit []node
	for _, n := range e.all {
		if kind == 0 || n.kind == kind {
			fit = append(fit, n)
		}
	}
	if len(fit) == 0 {
		return unix.ENOENT
	}
	n := pick(e.dice, fit...)
	at, name := path.Split(n.path)
	dir, err := walkTo(e.root, path.Clean("/" + at)[1:])
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	e.note(" %q", n.path)
	return do(place{dir, name})
}

// into does something with a new name in some directory.
func (e *editor) into(do func(place) error) error {
	at := ""
	for range 10 {
		if len(e.all) == 0 {
			break
		}
		if n := pick(e.dice, e.all...); n.kind == unix.S_IFDIR {
			at = n.path
			break
		}
	}
	dir, err := walkTo(e.root, at)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	p := place{dir, e.name()}
	e.note(" to %q", path.Join(at, p.name))
	return do(p)
}

// across does something with an entry and a new name.
func (e *editor) across(do func(from, to place) error) error {
	return e.on(0, func(from place) error {
		return e.into(func(to place) error { return do(from, to) })
	})
}
