package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// A Reader is what documents are read from: a vault, a disk, or several together.
type Reader interface {
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	Size(ctx context.Context, name string) (int64, error)
	List(ctx context.Context, prefix string, each func(name string, size int64) error) error
}

// ReadObject reads a whole object of at most limit bytes.
func ReadObject(ctx context.Context, r Reader, name string, limit int64) ([]byte, error) {
	size, err := r.Size(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, %d are allowed: %w", name, size, limit, ErrFormat)
	}
	b := make([]byte, size)
	n, err := r.ReadAt(ctx, name, b, 0)
	if n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("it ends too early: %w", ErrFormat)
		}
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return b, nil
}

// OpenVault reads waybill.json; fs.ErrNotExist where no vault is.
func OpenVault(ctx context.Context, r Reader) (*Vault, error) {
	b, err := ReadObject(ctx, r, VaultName, maxDocument)
	if err != nil {
		return nil, err
	}
	return ParseVault(b)
}

// OpenMachine reads a machine's document and checks its signature by the key it names. Whether that is
// the right key only a copy from a trusted place tells.
func OpenMachine(ctx context.Context, r Reader, id ID) (*Machine, error) {
	b, err := ReadObject(ctx, r, MachineName(id), maxDocument)
	if err != nil {
		return nil, err
	}
	m, err := ParseMachine(b)
	if err != nil {
		return nil, err
	}
	sig, err := ReadObject(ctx, r, MachineSignatureName(id), maxDocument)
	if err != nil {
		return nil, err
	}
	if err := Verify(m.SigningKey, b, sig); err != nil || m.Machine != id {
		return nil, fmt.Errorf("%s: %w", MachineName(id), errors.Join(err, ErrSignature))
	}
	return m, nil
}

// A Link is a commit of a chain: its manifest, and the digest of the manifest's bytes, which is the
// recovery point's id.
type Link struct {
	Manifest *Manifest
	Digest   Digest
}

// A Chain is a machine's commits in their order.
type Chain struct {
	Links   []Link
	Missing []int // sequence numbers, below the last link's, whose manifests are not there
}

// Last is the newest link; nil for an empty chain.
func (c *Chain) Last() *Link {
	if len(c.Links) == 0 {
		return nil
	}
	return &c.Links[len(c.Links)-1]
}

// ReadChain reads the manifests of a machine, verifies each signature under the machine's key and each
// link to the one before. Manifests that are not there (a seed that has not arrived) are
// named in the chain; a bad signature fails with ErrSignature, all else that is wrong with ErrFormat.
func ReadChain(ctx context.Context, r Reader, m *Machine) (Chain, error) {
	var c Chain
	var seqs []int
	err := r.List(ctx, ManifestsPrefix(m.Machine), func(name string, _ int64) error {
		if _, seq, ok := ParseManifestName(name); ok {
			seqs = append(seqs, seq)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("listing manifests: %w", err)
	}
	for _, seq := range seqs {
		link, err := readLink(ctx, r, m, seq)
		if err != nil {
			return c, fmt.Errorf("manifest %d: %w", seq, err)
		}
		if err := c.append(link); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *Chain) append(l Link) error {
	next := 1
	if last := c.Last(); last != nil {
		next = last.Manifest.Sequence + 1
		if next == l.Manifest.Sequence && last.Digest != l.Manifest.Previous {
			return fmt.Errorf("manifest %d does not follow from manifest %d: %w", next, next-1, ErrFormat)
		}
	}
	for ; next < l.Manifest.Sequence; next++ {
		c.Missing = append(c.Missing, next)
	}
	c.Links = append(c.Links, l)
	return nil
}

func readLink(ctx context.Context, r Reader, machine *Machine, seq int) (Link, error) {
	b, err := ReadObject(ctx, r, ManifestName(machine.Machine, seq), MaxManifest)
	if err != nil {
		return Link{}, err
	}
	digest := Sum(b)
	sig, err := ReadObject(ctx, r, SignatureName(machine.Machine, seq, digest), maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return Link{}, fmt.Errorf("it has no signature: %w", ErrSignature)
	}
	if err != nil {
		return Link{}, err
	}
	if err := Verify(machine.SigningKey, b, sig); err != nil {
		return Link{}, err
	}
	man, err := Parse(b)
	if err != nil {
		return Link{}, err
	}
	if man.Machine != machine.Machine || man.Vault != machine.Vault || man.Sequence != seq {
		return Link{}, fmt.Errorf("it is another machine's, or has another number: %w", ErrFormat)
	}
	return Link{man, digest}, nil
}
