package azure

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
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

// The service says of an object in the archive, which it can't fetch, what it says of one that is there: then nothing is.
func TestPutFromArchive(t *testing.T) {
	from := onFake(t, sharedKey, Options{}, say(500, ""))
	for name, c := range map[string]struct {
		want    error
		answers []answering
	}{
		"the source is in the archive": {errors.ErrUnsupported, []answering{say(409, "BlobArchived"), say(404, "BlobNotFound")}},
		"there":                        {fs.ErrExist, []answering{say(409, "BlobAlreadyExists"), say(200, "")}},
		"no telling":                   {ErrOutOfReach, []answering{say(409, "BlobAlreadyExists"), broken}},
		"put, but who heard":           {nil, []answering{broken, say(409, "BlobAlreadyExists"), say(200, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				same, err := onFake(t, sharedKey, Options{}, c.answers...).PutFrom(t.Context(), "a/b", from, "a/b", 1, make([]byte, 16))
				if !errors.Is(err, c.want) || same != (err == nil) {
					t.Errorf("%v, %v", same, err)
				}
			})
		})
	}
}
