package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A Reader is what documents are read from: a vault, a disk, or several together. List calls
// each with the names that begin with prefix, ascending; none is no error. ReadAt and Size wrap fs.ErrNotExist.
type Reader interface {
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	Size(ctx context.Context, name string) (int64, error)
	List(ctx context.Context, prefix string, each func(name string, size int64) error) error
}

// probe is how much of an object is asked for before anybody asks for its size: documents are smaller, so that each is one request.
const probe = 4 << 10

// ReadObject reads a whole object of at most limit bytes. A larger one, or one that ends
// early, fails with ErrFormat.
func ReadObject(ctx context.Context, r Reader, name string, limit int64) ([]byte, error) {
	b := make([]byte, probe)
	n, err := r.ReadAt(ctx, name, b, 0)
	switch {
	case n == len(b): // and perhaps more
	case errors.Is(err, io.EOF) && int64(n) <= limit:
		return b[:n], nil
	case errors.Is(err, io.EOF):
		return nil, tooLong(name, int64(n), limit)
	default:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	size, err := r.Size(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return readSized(ctx, r, name, size, limit, b)
}

// readSized reads a whole object whose size is known, and begins with start.
func readSized(ctx context.Context, r Reader, name string, size, limit int64, start []byte) ([]byte, error) {
	if size > limit {
		return nil, tooLong(name, size, limit)
	}
	b := make([]byte, size)
	at := copy(b, start)
	if at == len(b) {
		return b, nil
	}
	n, err := r.ReadAt(ctx, name, b[at:], int64(at))
	if at += n; at < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends at byte %d of %d", ErrFormat, at, size)
		}
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return b, nil
}

func tooLong(name string, size, limit int64) error {
	return fmt.Errorf("reading %s: %w: %d bytes, it may have %d", name, ErrFormat, size, limit)
}

// OpenVault reads waybill.json; fs.ErrNotExist where no vault is, ErrFormat when it is none.
func OpenVault(ctx context.Context, r Reader) (*Vault, error) {
	b, err := ReadObject(ctx, r, VaultName, maxDocument)
	if err != nil {
		return nil, err
	}
	return ParseVault(b)
}

// OpenMachine reads a machine's document and verifies its signature by the key it names, ErrSignature else. Whether that is
// the right key only the copy in the vault can tell.
func OpenMachine(ctx context.Context, r Reader, id ID) (*Machine, error) {
	name := MachineName(id)
	b, err := ReadObject(ctx, r, name, maxDocument)
	if err != nil {
		return nil, err
	}
	m, err := ParseMachine(b)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	sig, err := readSignature(ctx, r, MachineSignatureName(id))
	if err == nil {
		err = Verify(m.SigningKey, b, sig)
	}
	if err != nil {
		return nil, fmt.Errorf("checking %s: %w", name, err)
	}
	if m.Machine != id {
		return nil, fmt.Errorf("reading %s: %w: it is that of machine %s", name, ErrFormat, m.Machine)
	}
	return m, nil
}

// Level lists what is directly below prefix, which is empty or ends with a slash: objects, and directories, whose names end with a slash and
// whose size is -1; ascending. A Reader that has a method Level is asked just that; of any other everything below prefix is listed.
func Level(ctx context.Context, r Reader, prefix string, each func(name string, size int64) error) error {
	if h, ok := r.(interface {
		Level(ctx context.Context, prefix string, each func(name string, size int64) error) error
	}); ok {
		return h.Level(ctx, prefix, each)
	}
	last := ""
	return r.List(ctx, prefix, func(name string, size int64) error {
		if i := strings.IndexByte(name[len(prefix):], '/'); i >= 0 {
			name, size = name[:len(prefix)+i+1], -1
		}
		if name == last {
			return nil
		}
		last = name
		return each(name, size)
	})
}

// Machines lists the machines that a vault or disk has keys for, ascending.
func Machines(ctx context.Context, r Reader) (ids []ID, err error) {
	err = r.List(ctx, KeysPrefix, func(name string, _ int64) error {
		if id, ok := ParseMachineKeyName(name); ok {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing machines: %w", err)
	}
	return ids, nil
}
