package domain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/manifest"
)

// A Point is a commit of the chain and what its record says.
type Point struct {
	manifest.Link
	*catalog.Point // nil when Err is set
	Err            error
}

// ErrNoPoint says that no recovery point answers to what was asked for.
var ErrNoPoint = errors.New("no such recovery point")

// Points returns all points, oldest first. One whose record can't be read is there
// with the reason.
func (d *Domain) Points(ctx context.Context) []Point {
	all := make([]Point, len(d.Chain.Links))
	var g errgroup.Group
	g.SetLimit(d.atOnce())
	for i, link := range d.Chain.Links {
		g.Go(func() error {
			p := Point{Link: link}
			p.Point, p.Err = d.record(ctx, link.Manifest)
			all[i] = p
			return nil
		})
	}
	g.Wait()
	return all
}

// Last returns the newest point of any state, nil when there is none.
func (d *Domain) Last(ctx context.Context) (*Point, error) {
	if len(d.Chain.Links) == 0 {
		return nil, nil
	}
	p := &Point{Link: d.Chain.Links[len(d.Chain.Links)-1]}
	var err error
	p.Point, err = d.record(ctx, p.Manifest)
	return p, err
}

// record opens the reference in the manifest and loads what it leads to.
func (d *Domain) record(ctx context.Context, m *manifest.Manifest) (*catalog.Point, error) {
	ref, err := d.reference(m.Record)
	if err != nil {
		return nil, fmt.Errorf("the point of commit %d: %w", m.Sequence, err)
	}
	b, err := d.load(ctx, ref, 0) // records of many points are read at once, and the rest of their packs is of no use for that
	if err != nil {
		return nil, fmt.Errorf("the point of commit %d: %w", m.Sequence, err)
	}
	return catalog.ParsePoint(b)
}

func (d *Domain) reference(sealed []byte) (id pack.ID, err error) {
	var ids []age.Identity
	for _, k := range []age.Identity{d.opts.Keys.Machine, d.opts.Keys.Recovery} {
		if k != nil {
			ids = append(ids, k)
		}
	}
	if len(ids) == 0 {
		return id, pack.ErrKey
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	if err != nil {
		return id, fmt.Errorf("%w: %w", pack.ErrKey, err)
	}
	var ref struct {
		Pack  manifest.Digest `json:"pack"`
		Chunk manifest.Digest `json:"chunk"` // 32 bytes in hex, like a digest
	}
	plain, err := io.ReadAll(io.LimitReader(r, 4096))
	if err == nil {
		err = json.Unmarshal(plain, &ref)
	}
	if err != nil {
		return id, fmt.Errorf("%w: the reference to its record: %w", pack.ErrDamaged, err)
	}
	return pack.ID(ref.Chunk), nil
}

// Resolve finds the point that spec names: an id or a unique prefix of one, "latest", or a time,
// which means the newest point not after it. Only an id finds a partial point.
func (d *Domain) Resolve(ctx context.Context, spec string) (*Point, error) {
	when, isTime := parseTime(spec)
	var found *Point
	for i := len(d.Chain.Links) - 1; i >= 0; i-- {
		link := d.Chain.Links[i]
		byID := len(spec) >= 4 && strings.HasPrefix(link.Digest.String(), strings.ToLower(spec))
		byTime := spec == "latest" || isTime && !link.Manifest.Time.After(when)
		if !byID && !byTime {
			continue
		}
		p, err := d.record(ctx, link.Manifest)
		if err != nil {
			return nil, err
		}
		if byID && found != nil {
			return nil, fmt.Errorf("%w: %q is the beginning of several ids; write more of it", ErrNoPoint, spec)
		}
		if byID {
			found = &Point{Link: link, Point: p}
			continue
		}
		if p.State == catalog.Complete {
			return &Point{Link: link, Point: p}, nil
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoPoint, spec)
	}
	return found, nil
}

// timeForms are the ways a point's time may be written; those without a zone mean local time,
// those without a time of day the end of the day.
var timeForms = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04"}

func parseTime(s string) (time.Time, bool) {
	for _, form := range timeForms {
		if t, err := time.ParseInLocation(form, s, time.Local); err == nil {
			return t, true
		}
	}
	if t, err := time.ParseInLocation("2006-01-02", s, time.Local); err == nil {
		return t.AddDate(0, 0, 1).Add(-time.Second), true
	}
	return time.Time{}, false
}
