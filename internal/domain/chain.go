package domain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"waybill/manifest"
)

// chainName is a file beside the index: the manifests whose signatures were verified here before, back to back as they are, each
// a line. Who could change it could change the machine's keys as well.
//
// It saves a far vault two requests a commit. The chain is still what the stores list: what they have lost is missing, and
// what does not have the name and size that its verified manifest must have is read and verified again; see manifest.Reading. The file is a hint:
// a line that a crash cut short, or that was damaged, costs reading that manifest once more. When there are several of a number, the last counts.
const chainName = "chain"

// readChain is manifest.ReadChain with what the directory remembers, and remembers what was read; an empty dir remembers nothing.
func readChain(ctx context.Context, r manifest.Reader, m *manifest.Machine, dir string) (manifest.Chain, error) {
	if dir == "" {
		return manifest.ReadChain(ctx, r, m)
	}
	path := filepath.Join(dir, chainName)
	known, err := knownLinks(path)
	if err != nil {
		return manifest.Chain{}, fmt.Errorf("reading which commits were verified before: %w", err)
	}
	c, flaw := manifest.Reading{Known: known}.Chain(ctx, r, m)
	var learned []*manifest.Manifest
	for _, l := range c.Links {
		if known[l.Manifest.Sequence].Digest != l.Digest {
			learned = append(learned, l.Manifest)
		}
	}
	if err := learn(path, learned); err != nil {
		return c, fmt.Errorf("noting which commits are verified: %w", err)
	}
	return c, flaw
}

// knownLinks reads the file; none is no error.
func knownLinks(path string) (map[int]manifest.Known, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	known := map[int]manifest.Known{}
	for r := bufio.NewReaderSize(f, 64<<10); ; {
		line, err := r.ReadBytes('\n')
		if m, perr := manifest.Parse(line); perr == nil {
			known[m.Sequence] = manifest.Known{Link: manifest.Link{Manifest: m, Digest: manifest.Sum(line)}, Size: int64(len(line))}
		}
		if err == io.EOF {
			return known, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// learn adds manifests to the file. It begins a new line, whatever a crash has left of the last.
func learn(path string, all []*manifest.Manifest) (err error) {
	if len(all) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 64<<10)
	w.WriteByte('\n') // Flush has its errors
	for _, m := range all {
		b, err := m.Encode()
		if err != nil {
			return err
		}
		w.Write(b)
	}
	return w.Flush()
}
