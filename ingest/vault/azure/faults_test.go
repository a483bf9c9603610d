package azure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waybill/ingest/vault"
	"waybill/ingest/vault/vaulttest"
	"waybill/internal/azurite"
)

// A proxy is a line to Azurite that does to requests what lines and services do.
type proxy struct {
	*httptest.Server
	to   *url.URL
	via  http.Transport
	down atomic.Bool                // nothing passes
	next func(*http.Request) mishap // what happens to a request
}

// A mishap is what happens to a request.
type mishap int

const (
	fine   mishap = iota
	busy          // 429 before anything is done
	failed        // 500
	away          // 503, and when to come again
	reset         // the connection breaks before anything is done
	lost          // it is done, and the connection breaks
	late          // it is done, and a gateway says that it took too long
	cut           // half of the answer
	slow          // a little of the answer at a time
	last          // none
)

func newProxy(t *testing.T, next func(*http.Request) mishap) *proxy {
	t.Helper()
	u, err := url.Parse(server.Start(t).Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{to: u, next: next}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.Server.CloseClientConnections()
		p.Server.Close()
		p.via.CloseIdleConnections()
	})
	return p
}

// through is an address by way of the proxy.
func (p *proxy) through(a Address) Address {
	a.Endpoint = p.URL + "/" + azurite.Account
	return a
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := p.next(r)
	switch {
	case p.down.Load(), m == reset:
		drop(w)
	case m == busy:
		w.WriteHeader(http.StatusTooManyRequests)
	case m == failed:
		w.Header().Set("x-ms-error-code", "InternalError")
		w.WriteHeader(http.StatusInternalServerError)
	case m == away:
		w.Header().Set("x-ms-retry-after-ms", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		p.pass(w, r, m)
	}
}

// drop breaks the connection.
func drop(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func (p *proxy) pass(w http.ResponseWriter, r *http.Request, m mishap) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = p.to.Scheme, p.to.Host, ""
	resp, err := p.via.RoundTrip(out)
	if err != nil {
		drop(w)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil || m == lost:
		drop(w)
		return
	case m == late:
		w.WriteHeader(http.StatusGatewayTimeout)
		return
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	piece := len(body)
	if m == slow {
		piece = len(body)/5 + 1
	}
	if m == cut {
		body = body[:len(body)/2]
	}
	for len(body) > 0 && err == nil {
		n := min(piece, len(body))
		_, err = w.Write(body[:n])
		body = body[n:]
		if m == slow {
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}
	if m == cut && r.Method == http.MethodGet {
		w.(http.Flusher).Flush()
		drop(w)
	}
}

// moody is a line on which two of five requests fail in some way. The object of the test HalfWritten is there once a request for it was done, even if nobody
// heard of that, and its body is read again: it is spared.
func moody(seed uint64) func(*http.Request) mishap {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	return func(q *http.Request) mishap {
		mu.Lock()
		defer mu.Unlock()
		m := mishap(1 + r.IntN(int(last)-1))
		if r.IntN(5) < 3 || (m == lost || m == late) && strings.HasSuffix(q.URL.Path, "/h/x") {
			return fine
		}
		return m
	}
}

// On a bad line a store does what it does on a good one, only later: by one request, and in blocks.
func TestStoreOnBadLine(t *testing.T) {
	for _, c := range []struct {
		name        string
		permissions string
		single      int64
	}{{"requests", "rcl", singleSize}, {"blocks", "rcwl", 0}} {
		t.Run(c.name, func(t *testing.T) {
			p := newProxy(t, moody(7))
			vaulttest.Run(t, func(t *testing.T) vault.Store {
				a := newContainer(t)
				s := openStore(t, p.through(a), grant(t, a, c.permissions), Options{BlockSize: 500_000, Parallel: 3})
				s.single = c.single
				return helped{s, openStore(t, p.through(a), sharedKey, Options{})}
			})
		})
	}
}

// An interrupted upload goes on where it was: only the blocks that are missing are sent.
func TestResume(t *testing.T) {
	const block, blocks = 10_000, 20
	a := newContainer(t)
	content := make([]byte, block*blocks-5)
	rand.NewChaCha8([32]byte{}).Read(content)
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	o := Options{BlockSize: block, Parallel: 1, Count: func(op string) {
		if op == "block" && sent.Add(1) == 8 {
			cancel()
		}
	}}
	s := openStore(t, a, sharedKey, o)
	s.single = 0
	if err := s.Put(ctx, "a/x", bytes.NewReader(content)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	sent.Store(100)
	var order []string
	var mu sync.Mutex
	o.Count = func(op string) {
		mu.Lock()
		defer mu.Unlock()
		if op != "size" || len(order) == 1 {
			order = append(order, op)
		}
	}
	s = openStore(t, a, sharedKey, o)
	s.single = 0
	if err := s.Put(t.Context(), "a/x", bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "blocks size"+strings.Repeat(" block", blocks-7)+" commit" && got != "blocks size"+strings.Repeat(" block", blocks-8)+" commit" {
		t.Errorf("requests: %s", got)
	}
	there := make([]byte, len(content))
	if n, err := s.ReadAt(t.Context(), "a/x", there, 0); n != len(there) || err != nil || !bytes.Equal(there, content) {
		t.Errorf("it has %d bytes, %v", n, err)
	}
}

// What others left in blocks under ids of another kind is no object. The service lets one be put in its place; Azurite doesn't.
func TestForeignBlocks(t *testing.T) {
	s := newStore(t, sharedKey)
	b, _ := s.blob("a/x")
	if _, err := b.StageBlock(t.Context(), "AAAA", newBlock(t.Context(), []byte("old")), nil); err != nil {
		t.Fatal(err)
	}
	s.single = 0
	err := s.Put(t.Context(), "a/x", strings.NewReader("new"))
	size, serr := s.Size(t.Context(), "a/x")
	if errors.Is(err, fs.ErrExist) || err == nil && size != 3 || err != nil && !errors.Is(serr, fs.ErrNotExist) {
		t.Errorf("%v; then it has %d bytes, %v", err, size, serr)
	}
}

// A line that is away for a while, in the midst of it all.
func TestPartition(t *testing.T) {
	p := newProxy(t, func(*http.Request) mishap { return fine })
	a := newContainer(t)
	var mu sync.Mutex
	var told []bool // that it is away
	s := openStore(t, p.through(a), sharedKey, Options{BlockSize: 20_000, Waiting: func(since time.Time, _ error) {
		mu.Lock()
		defer mu.Unlock()
		if away := !since.IsZero(); len(told) == 0 || told[len(told)-1] != away {
			told = append(told, away)
		}
	}})
	s.single = 0
	content := make([]byte, 400_000)
	rand.NewChaCha8([32]byte{1}).Read(content)
	var wg sync.WaitGroup
	p.down.Store(true)
	for i := range 4 {
		wg.Go(func() {
			if err := s.Put(t.Context(), fmt.Sprintf("a/%d", i), bytes.NewReader(content)); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	p.down.Store(false)
	wg.Wait()
	if len(told) < 2 || !told[0] || told[len(told)-1] {
		t.Errorf("told %v", told)
	}
	for i := range 4 {
		there := make([]byte, len(content))
		if n, err := s.ReadAt(t.Context(), fmt.Sprintf("a/%d", i), there, 0); n != len(there) || err != nil || !bytes.Equal(there, content) {
			t.Errorf("%d: %d bytes, %v", i, n, err)
		}
	}
}

// described is a body that says what it is.
type described struct {
	*bytes.Reader
	sum  [16]byte
	data bool
}

func (d described) DescribeObject() ([16]byte, bool) { return d.sum, d.data }

// The service itself compares what it gets, keeps the MD5, and puts data packs, and nothing else, where they are to be.
func TestChecksumsAndTiers(t *testing.T) {
	a := newContainer(t)
	for _, single := range []int64{0, singleSize} {
		s := openStore(t, a, sharedKey, Options{Tier: Archive})
		s.single = single
		name := func(n string) string { return fmt.Sprintf("a/%s%d", n, single) }
		if err := s.Put(t.Context(), name("doc"), strings.NewReader("doc")); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), name("pack"), described{bytes.NewReader([]byte("pack")), [16]byte{}, true}); err != nil {
			t.Fatal(err)
		}
		for n, tier := range map[string]string{"doc": "Hot", "pack": "Archive"} {
			b, _ := s.blob(name(n))
			r, err := b.GetProperties(t.Context(), nil)
			if err != nil || len(r.ContentMD5) != 16 || *r.AccessTier != tier {
				t.Errorf("%s: md5 %x, tier %s, %v", n, r.ContentMD5, *r.AccessTier, err)
			}
		}
		var archived *ArchivedError
		if _, err := s.ReadAt(t.Context(), name("pack"), make([]byte, 1), 0); !errors.As(err, &archived) {
			t.Errorf("reading from the archive: %v", err)
		}
		if err := s.Rehydrate(t.Context(), []string{name("pack"), name("doc")}, true, func(int) {}); err != nil {
			t.Error(err)
		}
		if _, err := s.ReadAt(t.Context(), name("pack"), make([]byte, 1), 0); err != nil {
			t.Error(err)
		}
	}
	s := openStore(t, a, sharedKey, Options{})
	var refused *RefusedError
	if err := s.Put(t.Context(), "a/bad", described{bytes.NewReader([]byte("pack")), [16]byte{1}, true}); !errors.As(err, &refused) {
		t.Errorf("another MD5: %v", err)
	}
	if _, err := s.Size(t.Context(), "a/bad"); err == nil {
		t.Error("it is there")
	}
}
