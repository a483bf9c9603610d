package azure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/azurite"
)

type answering = func(r *http.Request) (*http.Response, error)

// A fake answers as the service's documentation says it does.
type fake answering

func (f fake) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: err}
		}
	}
	for name, values := range maps.Clone(r.Header) { // the SDK doesn't write all of them as Get wants them
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp, err := f(r)
	if err != nil {
		return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: err}
	}
	resp.Request = r
	return resp, nil
}

// answer is a response; of headers each is name and value.
func answer(status int, code string, headers ...string) *http.Response {
	h := http.Header{"X-Ms-Request-Id": {"r1"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}}
	if code != "" {
		h.Set("x-ms-error-code", code)
	}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: h, Body: io.NopCloser(strings.NewReader(""))}
}

// onFake opens a store whose requests are answered in turn; the last answer goes on.
func onFake(t *testing.T, c Credential, o Options, answers ...answering) *Store {
	t.Helper()
	var mu sync.Mutex
	o.Transport = fake(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		next := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		return next(r)
	})
	s, err := Open(Address{Account: azurite.Account, Container: "vault"}, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// say answers every request the same.
func say(status int, code string, headers ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return answer(status, code, headers...), nil }
}

func broken(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection reset by peer")
}

func TestAnswers(t *testing.T) {
	createOnly := Credential{SAS: "sp=rcl&se=2100-01-01T00:00:00Z&sig=x"}
	ctx := context.Background()
	put := func(s *Store) error { return s.Put(ctx, "a/b", strings.NewReader("x")) }
	size := func(s *Store) error { _, err := s.Size(ctx, "a/b"); return err }
	read := func(s *Store) error { _, err := s.ReadAt(ctx, "a/b", make([]byte, 1), 0); return err }
	remove := func(s *Store) error { return s.Remove(ctx, "a/b") }
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	refused := func(err error) bool {
		var r *RefusedError
		return errors.As(err, &r) && r.RequestID == "r1" && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist)
	}
	for _, c := range []struct {
		name    string
		do      func(*Store) error
		want    func(error) bool
		answers []answering
	}{
		{"exists", put, is(fs.ErrExist), []answering{say(409, "BlobAlreadyExists"), say(200, "")}},
		{"condition", put, is(fs.ErrExist), []answering{say(412, "ConditionNotMet"), say(200, "")}},
		{"immutable and there", put, is(fs.ErrExist), []answering{say(409, "BlobImmutableDueToPolicy"), say(200, "")}},
		{"may not overwrite", put, is(fs.ErrExist), []answering{say(403, "UnauthorizedBlobOverwrite"), say(200, "")}},
		{"begun", put, func(err error) bool { return err != nil && !errors.Is(err, fs.ErrExist) }, []answering{say(409, "BlobAlreadyExists"), say(404, "BlobNotFound")}},
		{"may not, for it is there", put, is(fs.ErrExist), []answering{say(403, "AuthorizationPermissionMismatch"), say(200, "")}},
		{"may not create", put, is(fs.ErrPermission), []answering{say(403, "AuthorizationPermissionMismatch"), say(404, "BlobNotFound")}},
		{"spoilt for good", put, refused, []answering{say(400, "Md5Mismatch")}},
		{"spoilt once", put, is(nil), []answering{say(400, "Md5Mismatch"), say(201, "")}},
		{"none", size, is(fs.ErrNotExist), []answering{say(404, "BlobNotFound")}},
		{"no container", size, is(ErrNoContainer), []answering{say(404, "ContainerNotFound")}},
		{"somebody else's 404", size, refused, []answering{say(404, "")}},
		{"a portal", size, is(fs.ErrNotExist), []answering{say(302, ""), say(511, "", "x-ms-request-id", "r1"), say(404, "BlobNotFound")}},
		{"denied", read, is(fs.ErrPermission), []answering{say(403, "AuthenticationFailed")}},
		{"busy", read, is(fs.ErrNotExist), []answering{say(503, "ServerBusy"), say(500, "InternalError"), say(429, ""), broken, say(404, "BlobNotFound")}},
		{"archived", read, func(err error) bool {
			var a *ArchivedError
			return errors.As(err, &a) && !a.Pending && !errors.Is(err, fs.ErrNotExist)
		},
			[]answering{say(409, "BlobArchived")}},
		{"coming back", read, func(err error) bool { var a *ArchivedError; return errors.As(err, &a) && a.Pending },
			[]answering{say(409, "BlobBeingRehydrated")}},
		{"immutable", remove, is(fs.ErrPermission), []answering{say(409, "BlobImmutableDueToPolicy")}},
		{"removed, but who heard", remove, is(nil), []answering{broken, say(404, "BlobNotFound")}},
		{"never there", remove, is(fs.ErrNotExist), []answering{say(404, "BlobNotFound")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := onFake(t, createOnly, Options{}, c.answers...)
				if err := c.do(s); !c.want(err) || err != nil && strings.Contains(err.Error(), "sig=") {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// A create whose answer is lost: what is there then is ours if it has our mark, whatever else it is.
func TestLostAnswer(t *testing.T) {
	for _, ours := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			mark := "another's"
			s := onFake(t, sharedKey, Options{}, func(r *http.Request) (*http.Response, error) {
				if ours {
					mark = r.Header.Get("x-ms-meta-" + marker)
				}
				return nil, io.ErrUnexpectedEOF
			}, say(500, "OperationTimedOut"), say(409, "BlobAlreadyExists"), func(*http.Request) (*http.Response, error) {
				return answer(200, "", "x-ms-meta-"+marker, mark), nil
			})
			err := s.Put(t.Context(), "a", strings.NewReader("x"))
			if ours && err != nil || !ours && !errors.Is(err, fs.ErrExist) {
				t.Errorf("ours: %v, %v", ours, err)
			}
		})
	}
}

// A line that is broken is tried more often than a service that asks for rest.
func TestPatience(t *testing.T) {
	t.Run("no line", func(t *testing.T) { patience(t, broken, 360, 760) })
	t.Run("busy", func(t *testing.T) { patience(t, say(503, "ServerBusy"), 120, 300) })
}

// patience makes a request that is answered so for an hour, and expects so many tries.
func patience(t *testing.T, a answering, least, most int) {
	synctest.Test(t, func(t *testing.T) {
		var tries, told int
		s := onFake(t, sharedKey, Options{Patience: time.Hour, Count: func(string) { tries++ }, Waiting: func(since time.Time, err error) {
			if told++; since.IsZero() || strings.Contains(err.Error(), "http") {
				t.Errorf("since %v: %v", since, err)
			}
		}}, a)
		began := time.Now()
		_, err := s.Size(t.Context(), "a")
		if took := time.Since(began); !errors.Is(err, ErrOutOfReach) || errors.Is(err, fs.ErrNotExist) || took > time.Hour || took < 59*time.Minute {
			t.Errorf("%v after %v", err, took)
		}
		if tries < least || tries > most || told != tries-1 {
			t.Errorf("%d tries, told of %d", tries, told)
		}
	})
}

// What the service asks for is kept, and that all is well again is told.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well bool
		s := onFake(t, sharedKey, Options{Waiting: func(since time.Time, err error) { well = since.IsZero() && err == nil }},
			say(503, "ServerBusy", "Retry-After", "100"), say(200, "", "Content-Length", "5"))
		began := time.Now()
		if size, err := s.Size(t.Context(), "a"); err != nil || size != 5 || !well {
			t.Errorf("%d, %v, well: %v", size, err, well)
		}
		if took := time.Since(began); took < 100*time.Second || took > 110*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// Bringing back asks for all, then waits for each.
func TestRehydrate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ready := map[string]time.Time{}
		asked := 0
		s := onFake(t, sharedKey, Options{}, func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
			at, known := ready[name]
			switch {
			case r.Method == http.MethodPut && known:
				return answer(409, "BlobBeingRehydrated"), nil
			case r.Method == http.MethodPut:
				if asked++; r.Header.Get("x-ms-rehydrate-priority") != "Standard" || r.Header.Get("x-ms-access-tier") != "Hot" {
					t.Errorf("asked by %v", r.Header)
				}
				ready[name] = time.Now().Add(15 * time.Hour)
				return answer(202, ""), nil
			case name == "hot", known && time.Now().After(at):
				return answer(200, "", "x-ms-access-tier", "Hot", "Content-Length", "10"), nil
			}
			return answer(200, "", "x-ms-access-tier", "Archive", "Content-Length", "10"), nil
		})
		names := []string{"a", "hot", "b"}
		archived, bytes, err := s.Archived(t.Context(), names)
		if len(archived) != 2 || bytes != 20 || err != nil {
			t.Errorf("archived: %q, %d, %v", archived, bytes, err)
		}
		for range 2 {
			last := -1
			if err := s.Rehydrate(t.Context(), names, false, func(n int) { last = n }); err != nil || last != 3 || asked != 2 {
				t.Errorf("%v, %d ready, %d asked", err, last, asked)
			}
		}
	})
}

// sparse is a body of any size that takes no memory.
type sparse struct{ size, at int64 }

func (s *sparse) Read(p []byte) (int, error) {
	if s.at == s.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), s.size-s.at))
	s.at += int64(n)
	return n, nil
}

func (s *sparse) Seek(offset int64, whence int) (int64, error) {
	s.at = offset + []int64{0, s.at, s.size}[whence]
	return s.at, nil
}

func (s *sparse) DescribeObject() (sum [16]byte, data bool) { return [16]byte{1}, true }

// Large objects need the memory of the blocks in flight, and of one read ahead.
func TestMemory(t *testing.T) {
	for _, c := range []struct {
		name string
		by   Credential
		most uint64
	}{{"one request", Credential{SAS: "sp=rcl&sig=x"}, 8 << 20}, {"blocks", sharedKey, 80 << 20}} {
		s := onFake(t, c.by, Options{Tier: Cool}, func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return answer(404, "BlobNotFound"), nil
			}
			if tier := r.Header.Get("x-ms-access-tier"); tier != "Cool" && r.URL.Query().Get("comp") != "block" {
				t.Errorf("tier %q", tier)
			}
			return answer(201, ""), nil
		})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := s.Put(t.Context(), "a", &sparse{size: 512 << 20}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > c.most {
			t.Errorf("%s: %d MiB", c.name, used>>20)
		}
	}
}

// A transport that goes on reading after its answer doesn't get at a body that is another's by then.
func TestContentIsClosed(t *testing.T) {
	c, err := newContent(t.Context(), bytes.NewReader(make([]byte, 3<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 10)); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	next, err := c.again()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 10)); err == nil {
		t.Error("the first still reads")
	}
	if n, err := io.Copy(io.Discard, next); n != 3<<20 || err != nil {
		t.Error(n, err)
	}
}

func TestTiers(t *testing.T) {
	for _, text := range []string{"", "hot", "cool", "cold", "archive"} {
		if tier, err := ParseTier(text); err != nil || string(tier) != text {
			t.Error(text, tier, err)
		}
	}
	if _, err := ParseTier("frozen"); err == nil {
		t.Error("frozen is a tier")
	}
	if fmt.Sprint(*Archive.access()) != "Archive" {
		t.Error(*Archive.access())
	}
}
