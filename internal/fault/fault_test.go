package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"waybill/internal/durable"
	"waybill/internal/fault"
)

const name = "a/b"

// operations do each operation once on a store that has the object.
var operations = map[string]func(s fault.Store) (done string, err error){
	"put": func(s fault.Store) (string, error) {
		return "", s.Put(context.Background(), "new", strings.NewReader("content"))
	},
	"read": func(s fault.Store) (string, error) {
		p := make([]byte, 6)
		n, err := s.ReadAt(context.Background(), name, p, 0)
		return string(p[:n]), err
	},
	"size": func(s fault.Store) (string, error) {
		n, err := s.Size(context.Background(), name)
		return fmt.Sprint(n), err
	},
	"list": func(s fault.Store) (string, error) {
		var names []string
		err := s.List(context.Background(), "", func(name string, _ int64) error {
			names = append(names, name)
			return nil
		})
		return strings.Join(names, " "), err
	},
	"remove": func(s fault.Store) (string, error) { return "", s.Remove(context.Background(), name) },
}

func newStore(t *testing.T, script *fault.Script) fault.Store {
	t.Helper()
	d, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for _, n := range []string{name, "a/c"} {
		if err := d.Put(t.Context(), n, strings.NewReader("object")); err != nil {
			t.Fatal(err)
		}
	}
	return fault.Store{Inner: d, Script: script}
}

// What is left after an operation that failed at each moment, and what it gave.
func TestMoments(t *testing.T) {
	for operation, tests := range map[string][3]struct{ gives, left string }{
		"put":    {{"", "a/b a/c"}, {"", "a/b a/c new"}, {"", "a/b a/c"}},
		"read":   {{"", "a/b a/c"}, {"objec", "a/b a/c"}, {"obj", "a/b a/c"}},
		"size":   {{"0", "a/b a/c"}, {"0", "a/b a/c"}, {"0", "a/b a/c"}},
		"list":   {{"", "a/b a/c"}, {"a/b a/c", "a/b a/c"}, {"a/b", "a/b a/c"}},
		"remove": {{"", "a/b a/c"}, {"", "a/c"}, {"", "a/b a/c"}},
	} {
		for _, when := range fault.Moments {
			t.Run(operation+" "+when.String(), func(t *testing.T) {
				script := &fault.Script{At: 1, When: when}
				s := newStore(t, script)
				gives, err := operations[operation](s)
				if !errors.Is(err, fault.Err) || !script.Tripped() {
					t.Errorf("%v, tripped: %v", err, script.Tripped())
				}
				left, err := operations["list"](s)
				if err != nil {
					t.Error(err)
				}
				if want := tests[when]; gives != want.gives || left != want.left {
					t.Errorf("it gave %q and left %q, want %q and %q", gives, left, want.gives, want.left)
				}
			})
		}
	}
}

func TestScript(t *testing.T) {
	script := &fault.Script{At: 2, Down: true, Counts: fault.Writes, Err: io.ErrClosedPipe}
	s := newStore(t, script)
	var failed []string
	for _, operation := range []string{"read", "put", "list", "put", "read", "remove"} {
		if _, err := operations[operation](s); errors.Is(err, io.ErrClosedPipe) {
			failed = append(failed, operation)
		}
	}
	// Reads don't count, so they don't fail; the first put counts, the second fails, and so does all that counts from then on.
	if want := []string{"put", "remove"}; !slices.Equal(failed, want) || script.Count() != 3 {
		t.Errorf("%v failed of %d, want %v", failed, script.Count(), want)
	}
}

// What a store says itself comes first: a create that finds the name taken fails with fs.ErrExist, whatever the script says.
func TestRealErrorsComeFirst(t *testing.T) {
	s := newStore(t, &fault.Script{At: 1, When: fault.After})
	if err := s.Put(t.Context(), name, strings.NewReader("other")); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
}
