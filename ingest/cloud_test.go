package ingest

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"waybill/ingest/claims"
	"waybill/ingest/claims/claimstest"
	"waybill/ingest/vault"
	"waybill/ingest/vault/azure"
	"waybill/internal/azurite"
	"waybill/manifest"
)

var server azurite.Server

func TestMain(m *testing.M) { server.Main(m) }

// A cloud is an account whose every request is counted on its way.
type cloud struct {
	*world
	endpoint string
	forbid   func(*http.Request) bool

	mu       sync.Mutex // guards what follows
	requests []string   // methods and what follows the account in their URLs, without query but comp
	up, down int64      // bytes of bodies
	busy     int        // requests that are being answered
}

func newCloud(t *testing.T, w *world) *cloud {
	server.Start(t)
	c := &cloud{world: w}
	at, err := url.Parse(strings.TrimSuffix(server.Endpoint, "/"+azurite.Account))
	w.must(err)
	proxy := &httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0),
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(at); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Query().Get("comp") != "list" {
				r.Body = &counted{r.Body, c, &c.down}
			}
			return nil
		},
	}
	s := httptest.NewServer(http.HandlerFunc(func(wr http.ResponseWriter, r *http.Request) {
		what := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/"+azurite.Account+"/") + " " + r.URL.Query().Get("comp")
		if r.Header.Get("X-Ms-Copy-Source") != "" {
			what += " from"
		}
		c.mu.Lock()
		c.requests = append(c.requests, strings.TrimSpace(what))
		c.busy++
		forbid := c.forbid
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.busy--
		}()
		if forbid != nil && forbid(r) {
			wr.WriteHeader(http.StatusForbidden)
			return
		}
		r.Body = &counted{r.Body, c, &c.up}
		proxy.ServeHTTP(wr, r)
	}))
	t.Cleanup(s.Close)
	c.endpoint = s.URL + "/" + azurite.Account
	return c
}

// counted counts the bytes of a body.
type counted struct {
	io.ReadCloser
	c  *cloud
	to *int64
}

func (b *counted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	*b.to += int64(n)
	return n, err
}

// reset forgets what was counted, when nothing is on its way any more that an interrupted run has asked for.
func (c *cloud) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.busy > 0 {
		c.mu.Unlock()
		time.Sleep(time.Millisecond)
		c.mu.Lock()
	}
	c.requests, c.up, c.down = nil, 0, 0
}

// of counts the requests that have all of the words.
func (c *cloud) of(words ...string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.requests {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(r, word) }) {
			n++
		}
	}
	return n
}

// store opens a container of its own.
func (c *cloud) store() *azure.Store {
	c.t.Helper()
	return c.open(azurite.Name())
}

func (c *cloud) open(name string) *azure.Store {
	a, err := azure.ParseAddress("azblob://" + azurite.Account + "/" + name + "?" + url.Values{"endpoint": {c.endpoint}}.Encode())
	c.must(err)
	c.must(azure.Create(context.Background(), a, azure.Credential{Key: azurite.Key}, azure.Options{}))
	s, err := azure.Open(a, azure.Credential{Key: azurite.Key}, azure.Options{})
	c.must(err)
	return s
}

// asVault puts the world's vault into a container, as it was created.
func (c *cloud) asVault() *azure.Store {
	s := c.store()
	c.must(c.vault.List(context.Background(), "", func(name string, _ int64) error {
		b, err := manifest.ReadObject(context.Background(), c.vault, name, 1<<20)
		c.put(s, name, b)
		return err
	}))
	return s
}

// A carrier uploads what is on disks, one after the other, and overwrites what is there.
type carrier struct {
	*cloud
	unsummed bool                     // it sets no Content-MD5
	rename   func(name string) string // nil for as they are; it drops those of no name
	sum      func(name string, b []byte) []byte
}

func (c carrier) upload(to *azure.Store, disks ...int) {
	c.t.Helper()
	a, err := azure.ParseAddress(to.Path())
	c.must(err)
	key, err := container.NewSharedKeyCredential(azurite.Account, azurite.Key)
	c.must(err)
	client, err := container.NewClientWithSharedKeyCredential(server.Endpoint+"/"+a.Container, key, nil)
	c.must(err)
	for _, n := range disks {
		root := c.disks[n-1].Path()
		c.must(filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			name, err := filepath.Rel(root, path)
			c.must(err)
			b, err := os.ReadFile(path)
			c.must(err)
			name = filepath.ToSlash(name)
			if c.rename != nil {
				name = c.rename(name)
			}
			if name == "" {
				return nil
			}
			sum := md5.Sum(b)
			headers := &blob.HTTPHeaders{BlobContentMD5: sum[:]}
			if c.unsummed {
				headers.BlobContentMD5 = nil
			} else if c.sum != nil {
				headers.BlobContentMD5 = c.sum(name, b)
			}
			at, id := client.NewBlockBlobClient(a.Prefix+name), "AAAA" // of blocks: then the service believes what the carrier says
			_, err = at.StageBlock(c.t.Context(), id, streaming.NopCloser(bytes.NewReader(b)), nil)
			if err == nil {
				_, err = at.CommitBlockList(c.t.Context(), []string{id}, &blockblob.CommitBlockListOptions{HTTPHeaders: headers})
			}
			return err
		}))
	}
}

// check verifies the vault by reading all of it: every pack is there but so many.
func (c *cloud) check(v manifest.Reader, missing int) {
	c.t.Helper()
	r, err := Verify(c.t.Context(), Source{"vault", v}, Options{})
	if r == nil || len(r.Damaged) != 0 || len(r.Missing) != missing || r.Packs != len(c.packs)-missing || r.Label != nil {
		c.t.Fatalf("the vault: %+v, %v", r, err)
	}
}

func (c *cloud) bytes() (n int64) {
	for _, p := range c.packs {
		n += p.Size
	}
	return n
}

func isPack(name string) bool { return strings.Contains(name, "/packs/") }

// What a carrier uploaded into the vault's own container is adopted: three disks' labels, one over the other, mislead nobody, and not a byte moves.
func TestAdopt(t *testing.T) {
	c := newCloud(t, newParityWorld(t))
	v := c.asVault()
	carrier{cloud: c}.upload(v, 1, 2, 3)
	c.reset()
	r, err := Import(t.Context(), v, []Source{{"the container", v}}, options())
	if err != nil {
		t.Fatal(err)
	}
	m := r.Machines[0].Receipt
	if m.Verified != 8 || m.Present != 8 || m.Imported != 0 || m.Set != setID || !slices.Equal(m.Arrived, []int{1, 2, 3}) || len(m.Custody) != 3 {
		t.Errorf("the receipt: %+v", m)
	}
	if c.of("/packs/") != 0 || c.down > 100_000 {
		t.Errorf("%d requests for packs, %d bytes read", c.of("/packs/"), c.down)
	}
	for disk := 1; disk <= 2; disk++ {
		if log := c.log(v, disk); !slices.Equal(log, []string{"received", "verified", "imported"}) {
			t.Errorf("the log of disk %d: %v", disk, log)
		}
	}
	c.check(v, 0)
	if r, err = Import(t.Context(), v, []Source{{"the container", v}}, options()); err != nil || r.Machines[0].Receipt.Verified != 0 || r.Machines[0].Receipt.Present != 8 {
		t.Errorf("again: %+v, %v", r.Machines[0].Receipt, err)
	}
}

// How much is read, by level and by what the carrier said.
func TestAdoptLevels(t *testing.T) {
	wrong := func(name string, b []byte) []byte { // of one pack, which is whole
		sum := md5.Sum(b)
		sum[0] ^= 1
		return sum[:]
	}
	for name, test := range map[string]struct {
		read     Level
		unsummed bool
		sum      func(string, []byte) []byte
		flip     bool // a pack is damaged, and the carrier says it isn't
		packs    int  // read
		good     int
	}{
		"auto":                            {good: 8},
		"full":                            {read: Full, packs: 8, good: 8},
		"properties":                      {read: Properties, good: 8},
		"auto, no sums":                   {unsummed: true, packs: 8, good: 8},
		"full, no sums":                   {read: Full, unsummed: true, packs: 8, good: 8},
		"properties, no sums":             {read: Properties, unsummed: true, good: 8},
		"auto, wrong sums":                {sum: wrong, packs: 8, good: 8},
		"properties, wrong sums":          {read: Properties, sum: wrong, good: 0},
		"auto, damaged and told whole":    {flip: true, good: 8}, // nothing but reading finds that out
		"full, damaged and told whole":    {read: Full, flip: true, packs: 8, good: 7},
		"full, damaged and nothing told":  {read: Full, flip: true, unsummed: true, packs: 8, good: 7},
		"auto, damaged and nothing told":  {flip: true, unsummed: true, packs: 8, good: 7},
		"properties, damaged, not a word": {read: Properties, flip: true, unsummed: true, good: 8},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEmptyWorld(t)
			w.commit(8, 2000)
			c := newCloud(t, w)
			v := c.asVault()
			by := carrier{cloud: c, unsummed: test.unsummed, sum: test.sum}
			if test.flip {
				p, path := w.pack(1)
				w.flip(path)
				by.sum = func(_ string, b []byte) []byte {
					sum := md5.Sum(b)
					if manifest.Sum(b) != p.Name && len(b) == int(p.Size) {
						sum = p.MD5
					}
					return sum[:]
				}
			}
			by.upload(v, 1, 2)
			c.reset()
			o := options()
			o.Read = test.read
			r, err := Import(t.Context(), v, []Source{{"the container", v}}, o)
			m := r.Machines[0].Receipt
			if m.Verified != test.good || len(m.Missing) != 8-test.good || (err == nil) != (test.good == 8) {
				t.Errorf("%d good, %d missing: %v", m.Verified, len(m.Missing), err)
			}
			if n := c.of("GET", "/packs/"); n != test.packs {
				t.Errorf("%d packs were read, not %d", n, test.packs)
			}
			if warned := len(r.Machines[0].Warnings) > 0; warned != (test.read == Properties && test.unsummed) {
				t.Errorf("warnings: %v", r.Machines[0].Warnings)
			}
		})
	}
}

// What is damaged in the vault's own container is rebuilt and replaced there; where nothing may be replaced it is wanted of the machine.
func TestAdoptDamaged(t *testing.T) {
	for _, may := range []bool{true, false} {
		t.Run(fmt.Sprint("may replace: ", may), func(t *testing.T) {
			c := newCloud(t, newParityWorld(t))
			v := c.asVault()
			c.flip(c.paths(1)[1])
			carrier{cloud: c}.upload(v, 1, 2, 3)
			c.forbid = func(r *http.Request) bool {
				return r.Method == http.MethodDelete || r.Method == http.MethodPut && r.Header.Get("If-None-Match") == "" && !may
			}
			for range 2 {
				r, err := Import(t.Context(), v, []Source{{"the container", v}}, options())
				m := r.Machines[0]
				switch {
				case may && (err != nil || len(m.Receipt.Missing) != 0):
					t.Fatalf("%+v, %v", m, err)
				case !may && (len(m.Receipt.Missing) != 1 || m.Receipt.Missing[0].Reason != manifest.Spoiled || len(m.Warnings) != 1):
					t.Fatalf("%+v, %v", m, err)
				}
			}
			if may {
				c.check(v, 0)
				if log := c.log(v, 1); !slices.Contains(log, "repaired") {
					t.Errorf("the log: %v", log)
				}
			}
		})
	}
}

// Packs under names that the carrier gave are found, adopted under their own, and those that are nowhere are wanted.
func TestRenamed(t *testing.T) {
	for _, unsummed := range []bool{false, true} {
		for _, inPlace := range []bool{true, false} {
			t.Run(fmt.Sprintf("unsummed %v, in place %v", unsummed, inPlace), func(t *testing.T) {
				w := newEmptyWorld(t)
				w.commit(6, 3000)
				c := newCloud(t, w)
				v := c.asVault()
				from, packs := v, 0
				if !inPlace {
					from = c.store()
				}
				carrier{cloud: c, unsummed: unsummed, rename: func(name string) string {
					if !isPack(name) {
						return name
					}
					packs++
					return map[int]string{1: "DataBox-" + manifest.Sum([]byte(name)).String(), 2: strings.ToUpper(filepath.Base(name)), 3: "", 4: manifest.MachinePrefix(machineID) + "packs/DataBox-1"}[packs%5]
				}}.upload(from, 1, 2)
				r, err := Import(t.Context(), v, []Source{{"the container", from}}, options())
				var incomplete *IncompleteError
				m := r.Machines[0].Receipt
				if !errors.As(err, &incomplete) || len(m.Missing) != 3 || m.Missing[0].Reason != manifest.Absent || m.Imported != 3 {
					t.Errorf("%+v, %v", m, err)
				}
			})
		}
	}
}

// From another container the vault fetches by itself: no pack comes by here.
func TestCopyAcross(t *testing.T) {
	c := newCloud(t, newParityWorld(t))
	v, from := c.asVault(), c.store()
	carrier{cloud: c}.upload(from, 1, 2, 3)
	c.reset()
	r, err := Import(t.Context(), v, []Source{{"the container", from}}, options())
	if err != nil || r.Machines[0].Receipt.Imported != 8 || !slices.Equal(r.Machines[0].Receipt.Arrived, []int{1, 2, 3}) {
		t.Fatalf("%+v, %v", r.Machines[0], err)
	}
	if moved := c.of("GET", "/packs/"); moved != 0 || c.up > 200_000 || c.bytes() < 400_000 {
		t.Errorf("%d packs were read, %d bytes sent, of %d", moved, c.up, c.bytes())
	}
	c.check(v, 0)
	if r, err := Import(t.Context(), v, []Source{{"the container", from}}, options()); err != nil || r.Machines[0].Receipt.Present != 8 {
		t.Errorf("again: %+v, %v", r.Machines[0], err)
	}
}

// Where the vault fetches nothing, packs come by here; and what is damaged is rebuilt, though its checksum says it is whole.
func TestCopyByHost(t *testing.T) {
	c := newCloud(t, newParityWorld(t))
	v, from := c.asVault(), c.store()
	c.forbid = func(r *http.Request) bool { return r.Header.Get("X-Ms-Copy-Source") != "" }
	p, path := c.pack(1)
	c.flip(path)
	carrier{cloud: c, sum: func(_ string, b []byte) []byte {
		sum := md5.Sum(b)
		if len(b) == int(p.Size) {
			sum = p.MD5
		}
		return sum[:]
	}}.upload(from, 1, 2, 3)
	r, err := Import(t.Context(), v, []Source{{"the container", from}}, options())
	if err != nil || r.Machines[0].Receipt.Imported != 8 || r.Machines[0].Receipt.Repaired != 1 {
		t.Fatalf("%+v, %v", r.Machines[0], err)
	}
	c.check(v, 0)
}

// A pack that turns out to be another than its checksum says, when the vault fetches it, is not created.
func TestCopyAcrossDamaged(t *testing.T) {
	c := newCloud(t, newParityWorld(t))
	v, from := c.asVault(), c.store()
	p, path := c.pack(1)
	c.flip(path)
	carrier{cloud: c, sum: func(_ string, b []byte) []byte {
		sum := md5.Sum(b)
		if len(b) == int(p.Size) {
			sum = p.MD5
		}
		return sum[:]
	}}.upload(from, 1, 2, 3)
	r, err := Import(t.Context(), v, []Source{{"the container", from}}, options())
	if err != nil || r.Machines[0].Receipt.Repaired != 1 {
		t.Fatalf("%+v, %v", r.Machines[0], err)
	}
	c.check(v, 0)
}

// A carrier that isn't done yet, and runs that are broken off: the next goes on.
func TestAdoptInterrupted(t *testing.T) {
	c := newCloud(t, newParityWorld(t))
	v := c.asVault()
	carrier{cloud: c, unsummed: true}.upload(v, 1)
	r, err := Import(t.Context(), v, []Source{{"the container", v}}, options())
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || !slices.Equal(r.Machines[0].Receipt.Arrived, []int{1}) || len(incomplete.Missing) != 4 {
		t.Fatalf("disk 1 alone: %+v, %v", r.Machines[0], err)
	}
	carrier{cloud: c, unsummed: true}.upload(v, 3, 2)
	for at := int64(3); ; at += 9 {
		ctx, cancel := context.WithCancel(t.Context())
		var n atomic.Int64
		c.reset()
		c.mu.Lock()
		c.forbid = func(*http.Request) bool {
			if n.Add(1) == at {
				cancel()
			}
			return false
		}
		c.mu.Unlock()
		r, err := Import(ctx, v, []Source{{"the container", v}}, options())
		cancel()
		if err == nil {
			// The run before may have been broken off after its receipt.
			c.mu.Lock()
			slices.Sort(c.requests)
			c.requests = slices.Compact(c.requests) // one of an interrupted run may still come in
			c.mu.Unlock()
			if n, m := c.of("GET", "/packs/"), r.Machines[0].Receipt; n != m.Verified || n != 0 && n != 4 || m.Present != 8 {
				t.Errorf("%d packs were read, only those of disk 2 were to be: %+v", n, m)
			}
			break
		}
	}
	c.check(v, 0)
}

// Two packs of one group have a bad block each: either is rebuilt from the good blocks of both, which the vault alone has. So nothing is taken away before what
// comes in its place is there, and what can't be replaced stays.
func TestAdoptDamagedTogether(t *testing.T) {
	for name, fails := range map[string]bool{"": false, "the vault fails": true} {
		t.Run(name, func(t *testing.T) {
			w := newParityWorld(t)
			paths := w.paths(1)
			for i, at := range []int{10, 90_000} {
				b, err := os.ReadFile(paths[i])
				w.must(err)
				b[at] ^= 1
				w.must(os.WriteFile(paths[i], b, 0o644))
			}
			w.disks = w.disks[:2]
			w.carry()
			if fails {
				_, err := Import(t.Context(), broken{w.vault}, []Source{{"the vault", broken{w.vault}}}, options())
				if !errors.Is(err, errLine) {
					t.Fatal(err)
				}
			}
			r, err := Import(t.Context(), w.vault, []Source{{"the vault", w.vault}}, options())
			if err != nil || r.Machines[0].Receipt.Repaired != 2 {
				t.Fatalf("%+v, %v", r.Machines[0], err)
			}
		})
	}
}

// What a later run found spoiled isn't good because an earlier one, which read less, said so.
func TestAdoptSpoiledLater(t *testing.T) {
	w := newEmptyWorld(t)
	w.commit(4, 2000)
	c := newCloud(t, w)
	v := c.asVault()
	p, path := w.pack(1)
	w.flip(path)
	carrier{cloud: c, sum: func(_ string, b []byte) []byte {
		sum := md5.Sum(b)
		if manifest.Sum(b) != p.Name && len(b) == int(p.Size) {
			sum = p.MD5
		}
		return sum[:]
	}}.upload(v, 1, 2)
	c.forbid = func(r *http.Request) bool { return r.Method == http.MethodPut && r.Header.Get("If-None-Match") == "" }
	for i, run := range []struct {
		read   Level
		spoilt int
	}{{Auto, 0}, {Full, 1}, {Full, 1}} {
		o := options()
		o.Read, o.Now = run.read, func() time.Time { return when.Add(time.Duration(i) * time.Hour) }
		r, _ := Import(t.Context(), v, []Source{{"the container", v}}, o)
		if m := r.Machines[0].Receipt; len(m.Missing) != run.spoilt {
			t.Errorf("run %d: %+v", i+1, m)
		}
	}
	c.reset()
	o := options()
	o.Now = func() time.Time { return when.Add(9 * time.Hour) }
	r, _ := Import(t.Context(), v, []Source{{"the container", v}}, o)
	if m := r.Machines[0].Receipt; len(m.Missing) != 1 || m.Missing[0].Reason != manifest.Spoiled || c.of("GET", "/packs/") != 1 {
		t.Errorf("not looked at again: %+v", m)
	}
}

// That something has a pack's name in the vault, and was put there by a carrier, says nothing, also where a disk is imported.
func TestUnverifiedInVault(t *testing.T) {
	for name, unsummed := range map[string]bool{"told damaged": false, "nothing told": true} {
		for _, share := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, shared %v", name, share), func(t *testing.T) {
				w := newEmptyWorld(t)
				w.commit(8, 2000)
				c := newCloud(t, w)
				v := c.asVault()
				_, path := w.pack(1)
				w.flip(path)
				carrier{cloud: c, unsummed: unsummed}.upload(v, 1)
				o := options()
				if share {
					o.Claims, o.Slice = claims.Open(claimstest.New(), "", 15*time.Second), 1
				}
				r, _ := Import(t.Context(), v, w.sources(2), o)
				m := r.Machines[0].Receipt
				if len(m.Missing) != 1 || m.Missing[0].Reason != manifest.Spoiled || m.Imported != 4 {
					t.Fatalf("disk 2: %+v", m)
				}
				w.flip(path)
				if share {
					o.Claims = claims.Open(claimstest.New(), "", 15*time.Second)
				}
				r, err := Import(t.Context(), v, w.sources(1), o)
				if m := r.Machines[0].Receipt; err != nil || len(m.Missing) != 0 {
					t.Fatalf("disk 1: %+v, %v", m, err)
				}
				c.check(v, 0)
			})
		}
	}
}

var errLine = errors.New("the line broke")

// A broken vault breaks off whatever it is given to replace something, after it has read all of it.
type broken struct{ *vault.Dir }

func (broken) PutOver(_ context.Context, _ string, body io.ReadSeeker) error {
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	return errLine
}

// carry copies the trees of the disks into the vault.
func (w *world) carry() {
	w.t.Helper()
	for _, d := range w.disks {
		w.must(d.List(context.Background(), "", func(name string, size int64) error {
			b := make([]byte, size)
			if _, err := d.ReadAt(context.Background(), name, b, 0); err != nil && err != io.EOF {
				return err
			}
			if err := w.vault.Put(context.Background(), name, bytes.NewReader(b)); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			return nil
		}))
	}
}

// A directory that a disk's tree was copied into adopts it, too.
func TestAdoptInDirectory(t *testing.T) {
	w := newParityWorld(t)
	w.carry()
	r, err := Import(t.Context(), w.vault, []Source{{"the vault", w.vault}}, options())
	if err != nil || r.Machines[0].Receipt.Verified != 8 || r.Machines[0].Receipt.Present != 8 || !slices.Equal(r.Machines[0].Receipt.Arrived, []int{1, 2, 3}) {
		t.Fatalf("%+v, %v", r.Machines[0], err)
	}
}

// When the line fails as a container is verified, nothing is damaged there, or missing.
func TestVerifyOnBadLine(t *testing.T) {
	w := newEmptyWorld(t)
	w.commit(2, 2000)
	w.commit(2, 1000)
	if _, err := Import(t.Context(), w.vault, w.sources(1, 2), options()); err != nil {
		t.Fatal(err)
	}
	var names []string
	w.must(w.vault.List(t.Context(), "", func(name string, _ int64) error { names = append(names, name); return nil }))
	for _, name := range names {
		r, err := Verify(t.Context(), Source{"the container", unreliable{w.vault, name}}, Options{})
		var damaged *DamagedError
		var incomplete *IncompleteError
		if r != nil && len(r.Damaged)+len(r.Missing) > 0 || errors.As(err, &damaged) || errors.As(err, &incomplete) || err != nil && !errors.Is(err, errLine) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// An unreliable container doesn't give one of its objects.
type unreliable struct {
	*vault.Dir
	not string
}

func (u unreliable) Remote() bool { return true }

func (u unreliable) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if name == u.not {
		return 0, errLine
	}
	return u.Dir.ReadAt(ctx, name, p, off)
}
