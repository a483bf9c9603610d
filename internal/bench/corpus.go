package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A corpus is data to save.
type corpus struct {
	name  string
	rows  []string // what is worth measuring on it
	scale float64
	build func(ctx context.Context, c *corpus, dir string) error
	// change alters the data below dir before the second backup, and the second call undoes the first. Nil where the
	// second backup finds everything unchanged.
	change func(c *corpus, dir string, undo bool) error
}

func corpora() []*corpus {
	tree := []string{rowFirst, rowUnchanged, rowVerify, rowCheck, rowRestore, rowIngest}
	return []*corpus{
		{name: "mixed", rows: tree, build: buildMixed},
		{name: "small", rows: tree, build: buildSmall},
		{name: "db", rows: []string{rowFirst, rowChanged}, build: buildDB, change: changeDB},
	}
}

func pickCorpora(names []string, scale float64) ([]*corpus, error) {
	var all []string
	var picked []*corpus
	for _, c := range corpora() {
		all = append(all, c.name)
		for _, n := range names {
			if n == c.name {
				c.scale = scale
				picked = append(picked, c)
			}
		}
	}
	return picked, known("corpus", names, all)
}

// size counts what is below dir.
func size(dir string) (entries int, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		entries++
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("measuring %s: %w", dir, err)
	}
	return entries, bytes, nil
}

const mixedBytes = 3 << 30

// buildMixed copies the Go toolchain and as much of /usr as 3 GiB hold: sources, binaries, archives,
// documentation. The order is fixed, so a machine gives the same corpus every time.
func buildMixed(ctx context.Context, c *corpus, dir string) error {
	roots, err := systemRoots(ctx)
	if err != nil {
		return err
	}
	var list strings.Builder
	left := int64(c.scale * mixedBytes)
	err = eachFile(roots, func(path string, info fs.FileInfo) error {
		if left -= info.Size(); left < 0 {
			return fs.SkipAll
		}
		list.WriteString(strings.TrimPrefix(path, "/") + "\x00")
		return nil
	})
	if err != nil {
		return err
	}
	// tar keeps hard links, times and attributes, so that the copy is the tree it was.
	tar := exec.CommandContext(ctx, "sh", "-c",
		`tar -C / --no-recursion --null -T - --xattrs -cf - | tar -C "$1" --xattrs -xpf -`, "sh", dir)
	tar.Stdin, tar.Stderr = strings.NewReader(list.String()), os.Stderr
	if err := tar.Run(); err != nil {
		return fmt.Errorf("copying the mixed tree: %w", err)
	}
	return nil
}

// systemRoots are trees that machines with a Go toolchain have, in the order in which corpora are cut from them.
func systemRoots(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("asking go for its GOROOT: %w", err)
	}
	return []string{strings.TrimSpace(string(out)), "/usr/bin", "/usr/lib", "/usr/share"}, nil
}

// eachFile visits files, directories and links below roots in lexical order, until visit returns fs.SkipAll.
func eachFile(roots []string, visit func(path string, info fs.FileInfo) error) error {
	stopped := false
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
				return nil // unreadable, or a socket or device: nothing a copy of the tree would have
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			err = visit(path, info)
			stopped = stopped || err == fs.SkipAll
			return err
		})
		if err != nil {
			return fmt.Errorf("walking %s: %w", root, err)
		}
		if stopped {
			return nil
		}
	}
	return nil
}

// closing closes f and keeps the first error.
func closing(f io.Closer, err *error) {
	if e := f.Close(); *err == nil {
		*err = e
	}
}
