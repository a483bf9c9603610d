package disk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// plan decides on the parity within the disk: what is good is kept, what isn't is removed, and what files are left are put into
// groups, the largest first, so that the files of a group are about as large as each other.
func (s *sealing) plan(ctx context.Context) error {
	files, err := s.members(ctx)
	if err != nil {
		return err
	}
	own := parity.Source{Name: fmt.Sprint(s.label.Disk), Reader: s.Disk}
	groups, _, err := parity.Groups(ctx, s.label.Machine, []parity.Source{own})
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, g := range groups {
		good := g.Across() // another's business
		if !good {
			if good, err = s.good(ctx, g, files); err != nil {
				return err
			}
		}
		if kept[g.Name] = good; good {
			for _, m := range g.Members {
				delete(files, m.Name)
			}
		}
	}
	if err := s.removeGroups(ctx, func(group string) bool { return !kept[group] }); err != nil {
		return err
	}
	if s.o.Scheme.Shards == 0 {
		return nil
	}
	var rest []parity.Member
	for name, size := range files {
		rest = append(rest, parity.Member{Disk: s.label.Disk, Name: name, Size: size})
	}
	slices.SortFunc(rest, largest)
	for members := range slices.Chunk(rest, s.o.Scheme.Data) {
		for i := range members {
			members[i].Index = i
		}
		s.groups = append(s.groups, members)
	}
	return nil
}

// largest orders by size, the largest first.
func largest(a, b parity.Member) int {
	return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
}

// members are the files of the disk that parity protects, and their sizes: packs, and shards of rows.
func (s *sealing) members(ctx context.Context) (map[string]int64, error) {
	files := map[string]int64{}
	err := s.List(ctx, manifest.PacksPrefix(s.label.Machine), func(name string, size int64) error {
		if _, _, ok := manifest.ParsePackName(name); ok && size > 0 {
			files[name] = size
		}
		return nil
	})
	if err != nil || s.label.Role != RoleParity {
		return files, err
	}
	groups, _, err := parity.Groups(ctx, s.label.Machine, []parity.Source{{Name: "", Reader: s.Disk}})
	for _, g := range groups {
		for _, shard := range g.Shards {
			name := manifest.ParityShardName(s.label.Machine, g.Name, shard.Index)
			if size, err := s.Size(ctx, name); err == nil && g.Across() && shard.Disk == s.label.Disk {
				files[name] = size
			}
		}
	}
	return files, err
}

// good tells whether a group within the disk can be kept: it has the scheme's form, its members are there, and its shards are read and right.
func (s *sealing) good(ctx context.Context, g *parity.Group, files map[string]int64) (bool, error) {
	scheme := s.o.Scheme
	if scheme.Shards > 0 && (len(g.Shards) != scheme.Shards || len(g.Members) > scheme.Data) || g.Set != s.label.Set ||
		!g.Whole(func(disk int) string { return fmt.Sprint(disk) }) {
		return false, nil
	}
	for _, m := range g.Members {
		if size, ok := files[m.Name]; !ok || size != m.Size || m.Disk != s.label.Disk {
			return false, nil
		}
	}
	_, err := s.verify(ctx, g)
	return err == nil, ctx.Err()
}

// removeGroups removes the files of groups.
func (s *sealing) removeGroups(ctx context.Context, which func(group string) bool) error {
	var names []string
	err := s.List(ctx, manifest.ParityPrefix(s.label.Machine), func(name string, _ int64) error {
		if _, group, _, ok := manifest.ParseParityName(name); ok && which(group) {
			names = append(names, name)
		}
		return nil
	})
	if err == nil && len(names) > 0 {
		err = s.unseal()
	}
	for _, name := range names {
		if err == nil {
			err = s.Remove(ctx, name)
		}
	}
	return err
}

// unseal sets the label of a disk that is going to be changed: what its SHA256SUMS says will not be true.
func (s *sealing) unseal() error {
	if s.label.State != Sealed {
		return nil
	}
	l := s.label
	l.State = Filling
	return s.SetLabel(l)
}

// makeGroup makes parity of files of this disk, which it reads and checks. When it fails the disk has failed.
func (s *sealing) makeGroup(ctx context.Context, members []parity.Member) {
	if s.failed() {
		return
	}
	l := &lane{sealing: s}
	for _, m := range members {
		l.files = append(l.files, newReading(m))
	}
	s.fail(l.begin(members))
	run(ctx, []*lane{l}, nil)
	l.end(ctx)
}

// An encoding is a group being written.
type encoding struct {
	*parity.Encoder
	shards []*shard
	head   parity.Head
}

// A shard is a file of it. What is written is hashed.
type shard struct {
	disk *sealing
	file File
	hash hash.Hash
}

func (s *shard) Write(p []byte) (int, error) {
	s.hash.Write(p)
	return s.file.Write(p)
}

// encode begins a group's shards on the disks that it names, given in the same order. A disk that can't take its shard fails.
func encode(h parity.Head, on []*sealing, base *parity.Base, windows *parity.Buffers) (*encoding, error) {
	e := &encoding{head: h}
	var out []io.Writer
	for _, d := range on {
		w := &shard{disk: d, hash: sha256.New()}
		e.shards, out = append(e.shards, w), append(out, w)
	}
	var err error
	if e.Encoder, err = parity.NewEncoder(&h, out, base, windows); err != nil {
		return nil, err
	}
	for _, w := range e.shards {
		if err = w.disk.unseal(); err == nil {
			w.file, err = w.disk.CreateSized(e.FileSize())
		}
		if err != nil {
			e.abort()
			w.disk.fail(err)
			return nil, err
		}
	}
	return e, nil
}

func (e *encoding) abort() {
	for _, w := range e.shards {
		if w.file != nil {
			w.file.Abort()
		}
	}
}

// commit publishes the shards, and then the table on each disk. A disk on which that fails has failed.
func (e *encoding) commit(ctx context.Context) {
	table, failed := e.Finish()
	for j, w := range e.shards {
		name := manifest.ParityShardName(e.head.Machine, e.Group(), e.head.Shards[j].Index)
		err := failed[j]
		if err == nil {
			err = w.file.Commit(name)
		} else {
			w.file.Abort()
		}
		if err == nil {
			w.disk.written[name] = manifest.Digest(w.hash.Sum(nil))
		} else {
			w.disk.fail(fmt.Errorf("writing parity: %w", err))
		}
	}
	for _, w := range e.shards {
		name := manifest.ParityTableName(e.head.Machine, e.Group())
		if _, done := w.disk.written[name]; done || w.disk.failed() {
			continue
		}
		if err := w.disk.Put(ctx, name, bytes.NewReader(table)); err != nil && !errors.Is(err, fs.ErrExist) {
			w.disk.fail(fmt.Errorf("writing parity: %w", err))
			continue
		}
		w.disk.written[name] = manifest.Sum(table)
	}
}
