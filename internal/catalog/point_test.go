package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"waybill/internal/pack"
)

func TestPoint(t *testing.T) {
	want := point()
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePoint(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	if e, err := got.RootEntry(); err != nil || e.Kind != Directory || e.Node != id(6) {
		t.Errorf("the root is %+v, %v", e, err)
	}
}

func TestPointRefused(t *testing.T) {
	good, err := point().Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := Entry{Kind: File}
	named := Entry{Kind: Directory, Name: []byte("x")}
	set := func(member string, v any) []byte {
		var m map[string]any
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		m[member] = v
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                 nil,
		"no JSON":                 []byte("waybill point 1"),
		"cut":                     good[:len(good)/2],
		"two":                     append(bytes.Clone(good), good...),
		"another format":          set("format", "waybill point 2"),
		"another state":           set("state", "half"),
		"no root":                 set("root", ""),
		"a root that is a file":   set("root", file.Append(nil)),
		"a root with a name":      set("root", named.Append(nil)),
		"a root that is too long": set("root", append(point().Root, 0)),
	} {
		if p, err := ParsePoint(b); !errors.Is(err, pack.ErrDamaged) || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A record with more problems than a chunk holds keeps the first of them, and their count.
func TestPointOfManyProblems(t *testing.T) {
	p := point()
	p.Problems = nil
	for range 5000 {
		p.Damage = append(p.Damage, Damage{Path: strings.Repeat("/a long name", 300), Bytes: 1})
		p.Problems = append(p.Problems, Problem{Path: strings.Repeat("/a long name", 300), Problem: "not saved"})
	}
	p.ProblemCount = 12_345
	b, err := p.Encode()
	if err != nil || len(b) > pack.MaxCatalogueChunk {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	p, err = ParsePoint(b)
	if err != nil || len(p.Problems) < 1000 || len(p.Damage) < 1000 || p.ProblemCount != 12_345 {
		t.Errorf("%d problems of %d, %v", len(p.Problems), p.ProblemCount, err)
	}
	p.Host = strings.Repeat("x", pack.MaxCatalogueChunk)
	if _, err := p.Encode(); err == nil {
		t.Error("a record that fits no chunk is encoded")
	}
}

func TestStats(t *testing.T) {
	s := Stats{1, 2, 3, 4, 5, 6, 7, 8}
	s.Add(Stats{10, 20, 30, 40, 50, 60, 70, 80})
	if s != (Stats{11, 22, 33, 44, 55, 66, 77, 88}) {
		t.Errorf("%+v", s)
	}
}
