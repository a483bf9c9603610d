package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// rounds measures all programs on one corpus.
type rounds struct {
	*options
	corpus *corpus
	tools  []*tool
	work   string
	report *report
	log    io.Writer
}

// A place is where one program works in one run: directories of the bench's making.
type place struct {
	source string // the corpus
	repo   string // the repository, vault or archive, whose size counts
	disk   string // a seed's disk
	out    string // where restores go
	own    string // configuration, caches, keys: not counted
}

func (b *rounds) run(ctx context.Context) (err error) {
	source := filepath.Join(b.work, b.corpus.name)
	defer func() { err = errors.Join(err, os.RemoveAll(source)) }()
	if err := b.build(ctx, source); err != nil {
		return err
	}
	for run := range b.runs {
		for i := range b.tools {
			// Each run begins with another program, so that none always has the machine as the same other left it.
			t := b.tools[(i+run)%len(b.tools)]
			if err := b.turn(ctx, t, source, run); err != nil {
				return fmt.Errorf("%s, run %d: %w", t.name, run+1, err)
			}
		}
	}
	return nil
}

func (b *rounds) build(ctx context.Context, source string) error {
	start := time.Now()
	if err := os.Mkdir(source, 0o777); err != nil {
		return err
	}
	if err := b.corpus.build(ctx, b.corpus, source); err != nil {
		return fmt.Errorf("building it: %w", err)
	}
	entries, bytes, err := size(source)
	if err != nil {
		return err
	}
	b.report.addCorpus(b.corpus.name, entries, bytes)
	fmt.Fprintf(b.log, "%s: %d entries, %.2f GB, made in %.1f s\n", b.corpus.name, entries, float64(bytes)/1e9, time.Since(start).Seconds())
	return nil
}

// turn takes one program through all of its steps, in a fresh place.
func (b *rounds) turn(ctx context.Context, t *tool, source string, run int) (err error) {
	top := filepath.Join(b.work, "turn")
	p := &place{source: source, repo: filepath.Join(top, "repo"), disk: filepath.Join(top, "disk"),
		out: filepath.Join(top, "out"), own: filepath.Join(top, "own")}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	for _, dir := range []string{p.repo, p.disk, p.out, p.own} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	for _, args := range t.setup(p) {
		if _, err := t.command(p, args).measure(ctx); err != nil {
			return fmt.Errorf("setting up: %w", err)
		}
	}
	for _, s := range t.steps {
		if row, wanted := b.wanted(s.row); wanted {
			if err := b.step(ctx, t, p, s, row, run); err != nil {
				return fmt.Errorf("%s: %w", row, err)
			}
		}
	}
	return nil
}

// wanted says whether a step is to be measured, and as what: the second backup is of a changed source in corpora that
// change. What later steps build upon always is.
func (b *rounds) wanted(row string) (string, bool) {
	if row == rowUnchanged && b.corpus.change != nil {
		row = rowChanged
	}
	if row == rowFirst {
		return row, true
	}
	base := row
	if row == rowCopy || row == rowDigest {
		base = rowIngest
	}
	if row == rowDigestRepo {
		base = rowVerify
	}
	return row, slices.Contains(b.rows, base) && slices.Contains(b.corpus.rows, base)
}

// step measures one command.
func (b *rounds) step(ctx context.Context, t *tool, p *place, s step, row string, run int) (err error) {
	if row == rowChanged {
		if err := b.corpus.change(b.corpus, p.source, false); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.corpus.change(b.corpus, p.source, true)) }()
	}
	before, err := stored(p)
	if err != nil {
		return err
	}
	got, err := t.command(p, s.args(p)).measure(ctx)
	if err != nil {
		return err
	}
	after, err := stored(p)
	if err != nil {
		return err
	}
	got.Stored = after - before
	b.report.add(b.corpus.name, t.name, row, got)
	fmt.Fprintf(b.log, "%s %d/%d: %s %s %.2f s\n", b.corpus.name, run+1, b.runs, t.name, row, got.Seconds)
	if row == rowRestore && run == 0 {
		restored := filepath.Join(p.out, t.restored(p))
		if err := same(ctx, p.source, restored); err != nil {
			return fmt.Errorf("what was restored is not what was saved: %w", err)
		}
	}
	return empty(p.out)
}

// stored is how many bytes the repository and the disk hold.
func stored(p *place) (int64, error) {
	_, repo, err := size(p.repo)
	if err != nil {
		return 0, err
	}
	_, disk, err := size(p.disk)
	return repo + disk, err
}

// empty removes what is in dir: memory, on a tmpfs.
func empty(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o777)
}
