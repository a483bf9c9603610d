package source

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Excludes says what is left out. A pattern is written like an escaped path (FORMAT.md), with these in its names:
//
//	[a-z] [^a-z]  one of these characters, none of these
//	? *           one character, any characters
//	\xNN          the byte NN
//	\* \? \[ \] \! \- \^   the character itself
//
// and it says where it looks by its slashes:
//
//	*.tmp            a name at any depth
//	/var/cache       that path alone (and with a directory, all below it)
//	build/*.o        a path's last names, at any depth
//	/home/**/Trash   ** for any number of directories, also none
//	/srv/scratch/**  ** at the end: all that is in a directory, but not the directory
//	cache/           a slash at the end: directories only
//	!/var/cache/x    an exclamation mark first: not left out after all; the last pattern that matches decides
//
// What lies in a directory that is left out can't be brought back. Upper and lower case differ.
//
// It is asked along the walk by a [Scope]. A nil *Excludes leaves nothing out.
type Excludes struct {
	patterns []pattern
	barred   map[identity]bool
	negated  bool // some pattern begins with an exclamation mark
	root     *Scope
}

type pattern struct {
	names   []glob
	keep    bool // begins with an exclamation mark
	dirOnly bool
	always  bool // nothing brings back what it matches
}

type identity struct{ dev, inode uint64 }

// NewExcludes compiles patterns, to be asked in this order. The barred paths are left out whatever the patterns say: by their
// absolute path, and by what they are now, should a walk reach them another way (see Barred).
func NewExcludes(patterns []string, barred ...string) (*Excludes, error) {
	e := &Excludes{barred: make(map[identity]bool)}
	for _, text := range patterns {
		p, err := parsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("exclude pattern %q: %w", text, err)
		}
		e.negated = e.negated || p.keep
		e.patterns = append(e.patterns, p)
	}
	for _, path := range barred {
		if err := e.bar(path); err != nil {
			return nil, err
		}
	}
	e.root = e.newScope(nil)
	for i := range e.patterns {
		e.root.add(at{i, 0})
	}
	e.root.settle()
	return e, nil
}

func (e *Excludes) bar(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("leaving out %s: %w", path, err)
	}
	if d, err := OpenDir(path); err == nil {
		if st, err := d.Self(); err == nil && st.Inode != 0 {
			e.barred[identity{st.Dev, st.Inode}] = true
		}
		d.Close()
	}
	e.barPath(path)
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		e.barPath(real) // in a snapshot it can't be known by what it is
	}
	return nil
}

func (e *Excludes) barPath(path string) {
	p := pattern{always: true}
	for name := range strings.SplitSeq(strings.Trim(filepath.ToSlash(path), "/"), "/") {
		p.names = append(p.names, newGlob(token{kind: text, text: []byte(name)}))
	}
	e.patterns = append(e.patterns, p)
}

// Barred says whether a directory is one of the barred ones, by device and inode. It sees through links and mounts that lead there by another path.
func (e *Excludes) Barred(st *Stat) bool {
	return e != nil && st.Kind == Directory && e.barred[identity{st.Dev, st.Inode}]
}

// Root returns the scope of the directory /.
func (e *Excludes) Root() *Scope {
	if e == nil {
		return nil
	}
	return e.root
}

// Scope is what Excludes has to ask in one directory. It doesn't change, so that many goroutines may use it. No path
// is put together: a scope knows which patterns have matched the path so far, and how much of them. A nil *Scope leaves nothing out.
type Scope struct {
	ex   *Excludes
	live []at // names to be compared here
	deep []at // of ** : stay as they are in all directories below
	base *Scope
}

// at is a name of a pattern whose names before it have matched.
type at struct{ pattern, name int }

// Match says whether the entry called name is left out. A kind of Unknown doesn't match patterns for directories only.
func (s *Scope) Match(name []byte, kind Kind) bool {
	if s == nil {
		return false
	}
	last, out := -1, false
	for _, a := range s.live {
		p := &s.ex.patterns[a.pattern]
		if a.name != len(p.names)-1 || p.dirOnly && kind != Directory || a.pattern < last || !p.names[a.name].match(name) {
			continue
		}
		if p.always || !s.ex.negated {
			return true
		}
		last, out = a.pattern, !p.keep
	}
	return out
}

// Enter returns the scope of the directory called name in this one's. Most often nothing is allocated.
func (s *Scope) Enter(name []byte) *Scope {
	if s == nil {
		return nil
	}
	next := s.base
	for _, a := range s.live {
		p := &s.ex.patterns[a.pattern]
		if a.name == len(p.names)-1 || !p.names[a.name].match(name) {
			continue
		}
		if next == s.base {
			next = s.ex.newScope(s.base)
		}
		next.add(at{a.pattern, a.name + 1})
	}
	if next != s.base {
		next.settle()
	}
	return next
}

// newScope returns a scope that begins with what stays from the one above.
func (e *Excludes) newScope(base *Scope) *Scope {
	s := &Scope{ex: e}
	if base != nil {
		s.live, s.deep = slices.Clone(base.live), slices.Clone(base.deep)
	}
	return s
}

func (s *Scope) add(a at) {
	p := &s.ex.patterns[a.pattern]
	if !p.names[a.name].deep {
		if !slices.Contains(s.live, a) {
			s.live = append(s.live, a)
		}
		return
	}
	if slices.Contains(s.deep, a) {
		return
	}
	s.deep = append(s.deep, a)
	if a.name == len(p.names)-1 {
		s.live = append(s.live, a)
	} else {
		s.add(at{a.pattern, a.name + 1})
	}
}

// settle finds base: the scope of a directory below in which nothing went on but what ** keeps. It is s itself where that
// is all there is.
func (s *Scope) settle() {
	base := s.ex.newScope(nil)
	for _, a := range s.deep {
		base.add(a)
	}
	if len(base.live) == len(s.live) {
		base = s
	}
	s.base, base.base = base, base
}
