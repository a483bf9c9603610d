package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"waybill/manifest"
)

// A Head is a machine's place in its chain: the last commit it made.
type Head struct {
	Sequence int             `json:"sequence"` // 0 before the first
	Digest   manifest.Digest `json:"digest"`   // the commit's id; zero before the first
}

type headFile struct {
	Format string `json:"format"`
	Head
}

const headFormat = "waybill head 1"

// Head reads the last commit the machine made.
func (s *State) Head() (Head, error) {
	b, err := os.ReadFile(s.path(headName))
	if errors.Is(err, fs.ErrNotExist) {
		return Head{}, fmt.Errorf("no state in %s: %w", s.Dir(), ErrNotRegistered)
	}
	if err != nil {
		return Head{}, fmt.Errorf("reading the machine's state: %w", err)
	}
	h, err := parseHead(b)
	if err != nil {
		return Head{}, s.broken(headName, err)
	}
	return h, nil
}

func parseHead(b []byte) (Head, error) {
	var f headFile
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return Head{}, fmt.Errorf("%w: %v", manifest.ErrFormat, err)
	}
	if f.Format != headFormat || f.Sequence < 0 || (f.Sequence == 0) != f.Digest.IsZero() {
		return Head{}, fmt.Errorf("%w: it names no commit", manifest.ErrFormat)
	}
	return f.Head, nil
}

// SetHead records a commit. It is durable on return; until then the old head stands, and the chain
// in the vault or on the disk tells what came after.
func (s *State) SetHead(h Head) error {
	b, err := json.Marshal(headFile{headFormat, h})
	if err == nil {
		err = s.files.Replace(headName, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("recording the last commit in the machine's state: %w", err)
	}
	return nil
}
