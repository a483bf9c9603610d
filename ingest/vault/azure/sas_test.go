package azure

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"waybill/internal/azurite"
)

// issue makes a signature for a container, by the account's key.
func issue(t *testing.T, a Address, p Permissions) Credential {
	t.Helper()
	now := time.Now()
	c, err := Issue(t.Context(), a, Credential{Key: azurite.Key}, p, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens a container with a credential.
func open(t *testing.T, a Address, c Credential) *Store {
	t.Helper()
	s, err := Open(a, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a machine is given creates, reads and lists in its container. The service, not our code, refuses everything else: each request is made as
// whoever stole the credential could make it.
func TestCreateOnly(t *testing.T) {
	server.Start(t)
	owner := newStore(t, Credential{Key: azurite.Key})
	a, ctx := owner.address, t.Context()
	c := issue(t, a, CreateOnly)
	s := open(t, a, c)
	const mine, others = "machines/mine/packs/x", "machines/others/packs/x"
	if err := owner.Put(ctx, others, strings.NewReader("theirs")); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, mine, strings.NewReader("content")); err != nil {
		t.Fatalf("create: %v", err)
	}
	b := make([]byte, 7)
	if n, err := s.ReadAt(ctx, mine, b, 0); n != 7 || string(b) != "content" {
		t.Fatalf("read: %q, %v", b[:n], err)
	}
	var names []string
	if err := s.List(ctx, "", func(name string, _ int64) error { names = append(names, name); return nil }); err != nil || len(names) != 2 {
		t.Fatalf("list: %q, %v", names, err)
	}
	if err := s.Put(ctx, others, strings.NewReader("mine now")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating what is there: %v", err)
	}

	body := func() *bytes.Reader { return bytes.NewReader([]byte("evil")) }
	theirs := s.container.NewBlockBlobClient(others)
	own := s.container.NewBlockBlobClient(mine)
	fresh := s.container.NewBlockBlobClient("fresh")
	other := newStore(t, Credential{Key: azurite.Key})
	elsewhere := open(t, other.address, c)
	for what, do := range map[string]func() error{
		"delete":                   func() error { _, err := theirs.Delete(ctx, nil); return err },
		"delete its own":           func() error { return s.Remove(ctx, mine) },
		"overwrite":                func() error { _, err := theirs.Upload(ctx, streaming.NopCloser(body()), nil); return err },
		"overwrite its own":        func() error { _, err := own.Upload(ctx, streaming.NopCloser(body()), nil); return err },
		"put a block":              func() error { _, err := theirs.StageBlock(ctx, "AAAA", streaming.NopCloser(body()), nil); return err },
		"put a block of a new one": func() error { _, err := fresh.StageBlock(ctx, "AAAA", streaming.NopCloser(body()), nil); return err },
		"commit blocks":            func() error { _, err := theirs.CommitBlockList(ctx, nil, nil); return err },
		"commit none as a new one": func() error { _, err := fresh.CommitBlockList(ctx, nil, nil); return err },
		"set metadata":             func() error { _, err := theirs.SetMetadata(ctx, map[string]*string{"a": to.Ptr("b")}, nil); return err },
		"set headers": func() error {
			_, err := theirs.SetHTTPHeaders(ctx, blob.HTTPHeaders{BlobContentType: to.Ptr("x/y")}, nil)
			return err
		},
		"archive":              func() error { _, err := theirs.SetTier(ctx, blob.AccessTierArchive, nil); return err },
		"lease":                func() error { return s.Acquire(ctx, others, "6f1c9a52-3c1e-4a7b-9d55-0f2f8c1e7a01", 15*time.Second) },
		"delete the container": func() error { _, err := s.container.Delete(ctx, nil); return err },
		"read another container": func() error {
			_, err := elsewhere.ReadAt(ctx, "x", make([]byte, 1), 0)
			return err
		},
		"list another container":            func() error { return elsewhere.List(ctx, "", func(string, int64) error { return nil }) },
		"create in another":                 func() error { return elsewhere.Put(ctx, "x", body()) },
		"read another container's policies": func() error { _, err := elsewhere.container.GetAccessPolicy(ctx, nil); return err },
		"set policies":                      func() error { _, err := s.container.SetAccessPolicy(ctx, nil); return err },
	} {
		if err := do(); !refuses(err) {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
	for name, want := range map[string]string{mine: "content", others: "theirs"} {
		b := make([]byte, 100)
		if n, _ := owner.ReadAt(ctx, name, b, 0); string(b[:n]) != want {
			t.Errorf("%s is %q now", name, b[:n])
		}
	}
}

// Where work is claimed, those who ingest can lease, and nothing in another container.
func TestClaiming(t *testing.T) {
	server.Start(t)
	work, vault := newStore(t, Credential{Key: azurite.Key}), newStore(t, Credential{Key: azurite.Key})
	ctx := t.Context()
	c := issue(t, work.address, Claiming)
	s := open(t, work.address, c)
	if err := s.Put(ctx, "a.claim", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	const id = "6f1c9a52-3c1e-4a7b-9d55-0f2f8c1e7a01"
	if err := errors.Join(s.Acquire(ctx, "a.claim", id, 15*time.Second), s.Renew(ctx, "a.claim", id), s.Release(ctx, "a.claim", id)); err != nil {
		t.Errorf("leasing: %v", err)
	}
	if err := s.Remove(ctx, "a.claim"); !refuses(err) {
		t.Errorf("delete: %v, want a refusal", err)
	}
	if err := vault.Put(ctx, "x", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	elsewhere := open(t, vault.address, c)
	if _, err := elsewhere.ReadAt(ctx, "x", make([]byte, 1), 0); !refuses(err) {
		t.Errorf("reading the vault: %v, want a refusal", err)
	}
	if err := elsewhere.Put(ctx, "y", strings.NewReader("y")); !refuses(err) {
		t.Errorf("creating in the vault: %v, want a refusal", err)
	}
}

// refuses tells whether the service says that a credential doesn't permit something.
func refuses(err error) bool {
	var answer *azcore.ResponseError
	return errors.Is(err, fs.ErrPermission) || errors.As(err, &answer) && (answer.StatusCode == 403 || answer.StatusCode == 404 && answer.ErrorCode == "ResourceNotFound")
}

// A signature ends, and says when.
func TestIssueExpires(t *testing.T) {
	server.Start(t)
	owner := newStore(t, Credential{Key: azurite.Key})
	now := time.Now()
	past := now.Add(-time.Minute).Truncate(time.Second)
	c, err := Issue(t.Context(), owner.address, Credential{Key: azurite.Key}, CreateOnly, now.Add(-time.Hour), past)
	if err != nil || !c.Expires().Equal(past) {
		t.Fatalf("until %v, %v; want %v", c.Expires(), err, past)
	}
	if err := open(t, owner.address, c).Put(t.Context(), "x", strings.NewReader("x")); !refuses(err) {
		t.Errorf("an expired signature: %v", err)
	}
}

func TestIssue(t *testing.T) {
	a := Address{Account: "acme", Container: "vault"}
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	c, err := Issue(t.Context(), a, Credential{Key: azurite.Key}, CreateOnly, now, now.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	q, _ := url.ParseQuery(c.SAS)
	got := fmt.Sprint(q.Get("sp"), " ", q.Get("sr"), " ", q.Get("spr"), " ", q.Get("st"), " ", q.Get("se"))
	if want := "rcl c https 2026-07-01T11:45:00Z 2026-07-02T12:00:00Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if c.canWrite() || !(Credential{Key: "x"}).canWrite() {
		t.Errorf("it permits other than it says: %s", q.Get("sp"))
	}
	if text := fmt.Sprintf("%v %+v %#v %s", c, c, c, &c); strings.Contains(text, "sig=") {
		t.Errorf("printed, it tells: %s", text)
	}
	if _, err := Issue(t.Context(), a, c, CreateOnly, now, now.Add(time.Hour)); !errors.Is(err, ErrCannotIssue) {
		t.Errorf("a signature by a signature: %v", err)
	}
	if _, err := Issue(t.Context(), a, Credential{}, CreateOnly, now, now.Add(MaxDelegation+time.Minute)); !errors.Is(err, ErrTooLong) {
		t.Errorf("a login signs for too long: %v", err)
	}
	_, err = Issue(t.Context(), a, Credential{Key: "S!crEt"}, CreateOnly, now, now.Add(time.Hour))
	if err == nil || strings.Contains(err.Error(), "S!crEt") {
		t.Errorf("a key that is none: %v", err)
	}
	plain := a
	plain.Endpoint = "http://127.0.0.1:10000/acme"
	if c, err := Issue(context.Background(), plain, Credential{Key: azurite.Key}, Claiming, now, now.Add(time.Hour)); err != nil || !strings.Contains(c.SAS, "spr=https%2Chttp&") || !c.canWrite() {
		t.Errorf("for an endpoint without TLS: %v", err)
	}
}

// Azurite answers 500, for ever, when it is told with a signature to fetch. That is no reason to wait: it comes by the host then.
func TestPutFromBySignature(t *testing.T) {
	server.Start(t)
	from, to := newStore(t, Credential{Key: azurite.Key}), newStore(t, Credential{Key: azurite.Key})
	ctx, body := t.Context(), []byte("content")
	if err := from.Put(ctx, "packs/x", bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum(body)
	s := open(t, to.address, issue(t, to.address, CreateOnly))
	s.opts.Patience = 2 * time.Second
	if _, err := s.PutFrom(ctx, "packs/x", from, "packs/x", int64(len(body)), sum[:]); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("PutFrom by a signature that only creates: %v", err)
	}
}
