package azure

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// What is replaced stays until all of the new content was read, and where a credential or the container keeps it.
func TestPutOver(t *testing.T) {
	a := newContainer(t)
	s := openStore(t, a, sharedKey, Options{})
	is := func(want string) {
		t.Helper()
		b := make([]byte, 20)
		if n, _ := s.ReadAt(t.Context(), "x", b, 0); string(b[:n]) != want {
			t.Errorf("there is %q, not %q", b[:n], want)
		}
	}
	if err := s.Put(t.Context(), "x", strings.NewReader("damaged")); err != nil {
		t.Fatal(err)
	}
	damaged := errors.New("it is damaged")
	if err := s.PutOver(t.Context(), "x", &failing{strings.NewReader("no better"), damaged}); !errors.Is(err, damaged) {
		t.Errorf("a body that fails at its end: %v", err)
	}
	if err := openStore(t, a, grant(t, a, "rcl"), Options{}).PutOver(t.Context(), "x", strings.NewReader("good")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("with a credential that can only create: %v", err)
	}
	is("damaged")
	for range 2 {
		if err := s.PutOver(t.Context(), "x", strings.NewReader("good")); err != nil {
			t.Fatal(err)
		}
		is("good")
	}
	for code, status := range map[string]int{"BlobImmutableDueToPolicy": 409, "LeaseIdMissing": 412, "BlobArchived": 409} {
		err := onFake(t, sharedKey, Options{}, say(status, code)).PutOver(t.Context(), "x", strings.NewReader("good"))
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "x") {
			t.Errorf("%s: %v", code, err)
		}
	}
	if err := onFake(t, sharedKey, Options{Patience: 1}, say(503, "ServerBusy")).PutOver(t.Context(), "x", strings.NewReader("good")); !errors.Is(err, ErrOutOfReach) || errors.Is(err, fs.ErrPermission) {
		t.Errorf("busy: %v", err)
	}
}

// A failing body fails where it should end.
type failing struct {
	*strings.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil {
		err = f.err
	}
	return n, err
}
