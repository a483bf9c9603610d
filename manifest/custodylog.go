package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// A Store is a tree that documents can be added to. Put creates an object once, durable on return; it fails with
// fs.ErrExist, and changes nothing, when the name is taken.
type Store interface {
	Reader
	Put(ctx context.Context, name string, body io.ReadSeeker) error
}

// A CustodyError says what is wrong with one entry of a disk's custody log.
type CustodyError struct {
	Number int
	Err    error // ErrSignature, ErrFormat, ErrChain, or fs.ErrNotExist for one that others follow on
}

func (e *CustodyError) Error() string { return fmt.Sprintf("custody entry %d: %v", e.Number, e.Err) }
func (e *CustodyError) Unwrap() error { return e.Err }

// CustodyErrors are the bad entries that an error of ReadCustody or CopyCustody names; none for an error of another kind.
func CustodyErrors(err error) (list []*CustodyError) {
	switch e := err.(type) {
	case *CustodyError:
		return []*CustodyError{e}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			list = append(list, CustodyErrors(inner)...)
		}
	case interface{ Unwrap() error }:
		return CustodyErrors(e.Unwrap())
	}
	return list
}

// AppendCustody adds an entry to the log of the disk that c names, signed by signer, and returns it as it was written: with number,
// previous entry, key and digest. It is durable on return. Several may append at once: each entry gets a number of its own.
// c.Disk and the ids must be set. It fails with ErrFormat for an entry that can't be written. Where c.Number is set, and c.Previous, the entry gets that place or
// none: it fails with fs.ErrExist when another has it.
//
// After any other error the entry may have been written all the same.
func AppendCustody(ctx context.Context, s Store, c Custody, signer *Signer) (Custody, error) {
	c.Key = signer.Public()
	if c.Number > 0 {
		if err := putCustody(ctx, s, &c, signer); err != nil {
			return Custody{}, fmt.Errorf("custody of disk %d: %w", c.Disk, err)
		}
		return c, nil
	}
	for tried := 0; ; tried = c.Number {
		last, err := lastCustody(ctx, s, c)
		if err == nil {
			c.Number, c.Previous = last.Number+1, last.Digest
			err = putCustody(ctx, s, &c, signer)
		}
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, fs.ErrExist) || c.Number == tried { // else another was faster, and this one follows on that
			return Custody{}, fmt.Errorf("custody of disk %d: %w", c.Disk, err)
		}
	}
}

// lastCustody is the number and the digest of the log's last entry; zero when there is none.
func lastCustody(ctx context.Context, r Reader, c Custody) (last Custody, err error) {
	name := ""
	err = r.List(ctx, CustodyPrefix(c.Machine, c.Set, c.Disk), func(n string, _ int64) error {
		if e, ok := ParseCustodyName(n); ok {
			name, last = n, e
		}
		return nil
	})
	if err != nil || name == "" {
		return Custody{}, err
	}
	b, err := ReadObject(ctx, r, name, maxDocument)
	last.Digest = Sum(b)
	return last, err
}

// putCustody writes the signature, then the entry: whoever sees an entry finds its signature.
func putCustody(ctx context.Context, s Store, c *Custody, signer *Signer) error {
	b, err := c.Encode()
	if err != nil {
		return err
	}
	sig, err := signer.Sign(b)
	if err != nil {
		return err
	}
	c.Digest = Sum(b)
	return writeCustody(ctx, s, *c, b, sig)
}

// writeCustody fails with fs.ErrExist when there is another entry of that number.
func writeCustody(ctx context.Context, s Store, c Custody, b, sig []byte) error {
	name := CustodySignatureName(c)
	if err := s.Put(ctx, name, bytes.NewReader(sig)); errors.Is(err, fs.ErrExist) {
		there, err := ReadObject(ctx, s, name, maxDocument)
		if err == nil {
			err = Verify(c.Key, b, there)
		}
		if err != nil {
			return fmt.Errorf("a signature that is there already, %s: %w", name, err)
		}
	} else if err != nil {
		return err
	}
	err := s.Put(ctx, CustodyName(c), bytes.NewReader(b))
	if errors.Is(err, fs.ErrExist) {
		if there, rerr := ReadObject(ctx, s, CustodyName(c), maxDocument); rerr == nil && bytes.Equal(there, b) {
			return nil
		}
	}
	return err
}

// ReadCustody reads the log of a disk, in its order: of each entry the signature must be by one of the keys, and each must follow on
// the one before. That there is none is no error.
//
// The entries returned are those that are good. The error joins a *CustodyError for each of the others, and for
// each number that has none.
func ReadCustody(ctx context.Context, r Reader, machine, set ID, disk int, keys ...PublicKey) ([]Custody, error) {
	var places []Custody
	err := r.List(ctx, CustodyPrefix(machine, set, disk), func(name string, _ int64) error {
		if c, ok := ParseCustodyName(name); ok {
			places = append(places, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the custody log of disk %d: %w", disk, err)
	}
	var log []Custody
	var bad []error
	var last Custody // whatever its signature: the next names its bytes
	for _, place := range places {
		for last.Number++; last.Number < place.Number; last.Number++ {
			bad = append(bad, &CustodyError{last.Number, fmt.Errorf("it is gone: %w", fs.ErrNotExist)})
			last.Digest = Digest{}
		}
		c, _, _, err := readCustody(ctx, r, place, keys)
		if ctx.Err() != nil {
			return log, ctx.Err()
		}
		if err == nil && c.Previous != last.Digest && (!last.Digest.IsZero() || c.Number == 1) {
			err = fmt.Errorf("%w: it does not follow on the one before", ErrChain)
		}
		last = Custody{Number: place.Number, Digest: c.Digest}
		if err != nil {
			bad = append(bad, &CustodyError{place.Number, err})
			continue
		}
		log = append(log, c)
	}
	return log, errors.Join(bad...)
}

// readCustody reads one entry. Its signature is verified before anything in it is believed, but the key that it says it is by.
func readCustody(ctx context.Context, r Reader, place Custody, keys []PublicKey) (c Custody, b, sig []byte, err error) {
	if b, err = ReadObject(ctx, r, CustodyName(place), maxDocument); err != nil {
		return c, nil, nil, err
	}
	place.Digest = Sum(b)
	if sig, err = readSignature(ctx, r, CustodySignatureName(place)); err != nil {
		return place, b, nil, err
	}
	err = fmt.Errorf("%w: no key to check it by", ErrSignature)
	for _, key := range keys {
		if err = Verify(key, b, sig); err == nil {
			if c, err = ParseCustody(b); err == nil && (c.Key != key || c.Place() != place.Place()) {
				err = fmt.Errorf("%w: it is another's, or belongs elsewhere", ErrFormat)
			}
			break
		}
	}
	c.Digest = place.Digest
	return c, b, sig, err
}

// Place is the entry's place, with no other member set.
func (c *Custody) Place() Custody {
	return Custody{Machine: c.Machine, Set: c.Set, Disk: c.Disk, Number: c.Number}
}

// CopyCustody adds to the log in one tree what the log in another has more, as far as each entry is good: signed by one of the keys
// and following on what is there. It returns how many entries it wrote. When the logs are not one, because both grew apart, it
// writes nothing and fails with ErrChain. Logs that end alike are not looked at any further.
func CopyCustody(ctx context.Context, to Store, from Reader, machine, set ID, disk int, keys ...PublicKey) (int, error) {
	place := Custody{Machine: machine, Set: set, Disk: disk}
	last, err1 := lastCustody(ctx, to, place)
	end, err2 := lastCustody(ctx, from, place)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("custody of disk %d: %w", disk, err)
	}
	if end == last {
		return 0, nil
	}
	log, bad := ReadCustody(ctx, from, machine, set, disk, keys...)
	written := 0
	for _, c := range log {
		if c.Number == last.Number && c.Digest != last.Digest || c.Number == last.Number+1 && c.Previous != last.Digest {
			return written, fmt.Errorf("custody of disk %d, entry %d: %w", disk, c.Number, ErrChain)
		}
		if c.Number != last.Number+1 {
			continue // it is there, or one before it isn't good
		}
		_, b, sig, err := readCustody(ctx, from, c, keys)
		if err == nil {
			err = writeCustody(ctx, to, c, b, sig)
		}
		if errors.Is(err, fs.ErrExist) {
			err = ErrChain
		}
		if err != nil {
			return written, fmt.Errorf("custody of disk %d, entry %d: %w", disk, c.Number, err)
		}
		last = c
		written++
	}
	return written, bad
}
