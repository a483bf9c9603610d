package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"waybill/internal/source"
)

// With Options.Sample directories are looked at level by level until so many wait, and then one of each few of them, with all below it.
const (
	frontier = 2048
	oneOf    = 8
	fewest   = 192
)

// A walker looks at directories one after the other, by their paths.
type walker struct {
	ctx     context.Context
	o       *Options
	exclude *source.Excludes
	roots   map[string]bool
	linked  map[identity]bool // files with several names that were met
	list    source.Listing
	into    *stratum
	random  *rand.Rand

	unreadable int64
	first      error
}

type identity struct{ dev, inode uint64 }

// A place is a directory to be looked at.
type place struct {
	path  string
	scope *source.Scope
	dev   uint64 // of the directory that holds it
	root  bool
}

func newWalker(ctx context.Context, o *Options) (*walker, error) {
	w := &walker{ctx: ctx, o: o, roots: map[string]bool{}, linked: map[identity]bool{}, random: o.generator(1)}
	var err error
	w.exclude, err = source.NewExcludes(o.Excludes, o.Skip...)
	return w, err
}

// walk looks at everything, or at a part. What it returns last is the part that stands for more than itself.
func (w *walker) walk() ([]*stratum, error) {
	top := newStratum(w.o)
	w.into = top
	waiting, err := w.begin()
	if err != nil {
		return nil, err
	}
	for w.o.Sample && len(waiting) > 0 && len(waiting) < frontier {
		if waiting, err = w.level(waiting); err != nil {
			return nil, err
		}
	}
	if !w.o.Sample || len(waiting) == 0 {
		return []*stratum{top}, w.drain(waiting)
	}
	n := max(len(waiting)/oneOf, fewest)
	below := newStratum(w.o)
	below.scale = float64(len(waiting)) / float64(n)
	w.into = below
	w.random.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
	for _, p := range waiting[:n] {
		files, bytes := below.files, below.bytes
		if err := w.drain([]place{p}); err != nil {
			return nil, err
		}
		below.trees = append(below.trees, tree{float64(below.files - files), float64(below.bytes - bytes)})
	}
	return []*stratum{top, below}, nil
}

// level looks at directories, and returns all those in them. Taken whole, the next ones are about as large as each other.
func (w *walker) level(places []place) (next []place, err error) {
	for _, p := range places {
		below, err := w.look(p)
		if err != nil {
			return nil, err
		}
		next = append(next, below...)
	}
	return next, nil
}

// drain looks at directories and all below them, in the order in which the engine does.
func (w *walker) drain(stack []place) error {
	slices.Reverse(stack)
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		below, err := w.look(p)
		if err != nil {
			return err
		}
		slices.Reverse(below)
		stack = append(stack, below...)
	}
	return nil
}

// begin resolves the roots, and takes those in that are no directories.
func (w *walker) begin() (all []place, err error) {
	for _, root := range w.o.Roots {
		path, err := filepath.EvalSymlinks(root)
		if err != nil {
			return nil, fmt.Errorf("looking at what is to be saved: %w", err)
		}
		if w.roots[path] {
			continue
		}
		w.roots[path] = true
		all = append(all, place{path: path, root: true})
	}
	// A root below another one is walked as a part of that, unless something between them stops the walk: then it is one of its own.
	slices.SortFunc(all, func(a, b place) int { return strings.Compare(a.path, b.path) })
	for i := range all {
		if err := w.enter(&all[i]); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(p place) bool { return p.scope == nil }), nil
}

// enter finds the scope of a root. A file is taken in at once, and the place has no scope then.
func (w *walker) enter(p *place) error {
	scope := w.exclude.Root()
	above, err := source.OpenDir(filepath.Dir(p.path))
	if err != nil {
		return err
	}
	defer above.Close()
	name := []byte(filepath.Base(p.path))
	parts := strings.Split(strings.Trim(filepath.ToSlash(p.path), "/"), "/")
	var st source.Stat
	if filepath.Dir(p.path) == p.path {
		st, err = above.Self()
		parts = nil
	} else {
		err = above.StatName(name, &st)
	}
	if err != nil {
		return err
	}
	for i, part := range parts {
		kind := source.Directory
		if i == len(parts)-1 {
			kind = st.Kind
		}
		if scope.Match([]byte(part), kind) {
			return nil
		}
		scope = scope.Enter([]byte(part))
	}
	if st.Kind != source.Directory {
		w.item(above, filepath.Dir(p.path), name, &st)
		return nil
	}
	p.scope, p.dev = scope, st.Dev
	return nil
}

// look takes in what a directory holds, and returns the directories in it that belong to the source.
func (w *walker) look(p place) (below []place, err error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	d, err := source.OpenDir(p.path)
	if err != nil {
		w.problem(p.path, err)
		return nil, nil
	}
	defer d.Close()
	self, err := d.Self()
	if err == nil && self.Dev != p.dev && !p.root && !w.mayCross(d) {
		return nil, nil
	}
	if err == nil {
		err = d.List(&w.list)
	}
	if err != nil {
		w.problem(p.path, err)
		return nil, nil
	}
	w.into.dirs++
	var st source.Stat
	for i := range w.list.Len() {
		name := w.list.Name(i)
		if err := d.Stat(&w.list, i, &st); err != nil {
			w.problem(filepath.Join(p.path, string(name)), err)
			continue
		}
		if p.scope.Match(name, st.Kind) || w.exclude.Barred(&st) {
			continue
		}
		if st.Kind != source.Directory {
			w.item(d, p.path, name, &st)
			continue
		}
		w.into.entries.add(&st, name)
		if path := filepath.Join(p.path, string(name)); !w.roots[path] {
			below = append(below, place{path: path, scope: p.scope.Enter(name), dev: self.Dev})
		}
	}
	return below, nil
}

// mayCross tells whether a file system that begins at d belongs to the source.
func (w *walker) mayCross(d *source.Dir) bool {
	fs, _ := d.FileSystem()
	return !fs.Pseudo && !w.o.OneFileSystem
}

// item takes in anything but a directory.
func (w *walker) item(d *source.Dir, dir string, name []byte, st *source.Stat) {
	w.into.entries.add(st, name)
	if st.Kind != source.Regular {
		return
	}
	w.o.Files.Add(1)
	if st.Nlink > 1 && st.Inode != 0 {
		id := identity{st.Dev, st.Inode}
		if w.linked[id] {
			w.into.files++
			return
		}
		w.linked[id] = true
	}
	size := st.Size
	if st.Sparse() && size > smallFile {
		size = w.dataOf(d, name, size)
	}
	w.o.Bytes.Add(size)
	w.into.file(dir, name, st, size)
}

// manyHoles is how many stretches of data of a file are counted; the rest is taken to be like them.
const manyHoles = 4096

// dataOf is how much of a file's size is no hole.
func (w *walker) dataOf(d *source.Dir, name []byte, size int64) (data int64) {
	f, err := d.Open(name)
	if err != nil {
		return size
	}
	defer f.Close()
	off := int64(0)
	for range manyHoles {
		start, end, err := f.NextData(off)
		if err != nil || start >= size {
			return data
		}
		end = min(end, size)
		data += end - start
		off = end
	}
	return int64(float64(data) / float64(off) * float64(size))
}

// problem notes what can't be looked at, unless it has vanished.
func (w *walker) problem(path string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if w.unreadable++; w.first == nil {
		w.first = fmt.Errorf("%s: %w", path, err)
	}
}
