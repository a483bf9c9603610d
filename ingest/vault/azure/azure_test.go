package azure

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"waybill/ingest/vault"
	"waybill/ingest/vault/vaulttest"
	"waybill/internal/azurite"
)

var server azurite.Server

func TestMain(m *testing.M) { server.Main(m) }

var sharedKey = Credential{Key: azurite.Key}

// newStore opens a container of its own.
func newStore(t *testing.T, c Credential) *Store {
	t.Helper()
	return openStore(t, newContainer(t), c, Options{})
}

// newContainer makes one.
func newContainer(t *testing.T) Address {
	t.Helper()
	server.Start(t)
	a, err := ParseAddress(server.Address(azurite.Name()))
	if err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), a, sharedKey, Options{}); err != nil {
		t.Fatal(err)
	}
	return a
}

// openStore opens a store that waits little between tries.
func openStore(t *testing.T, a Address, c Credential, o Options) *Store {
	t.Helper()
	s, err := Open(a, c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.first = time.Millisecond
	return s
}

// signed returns a SAS for a container with some permissions.
func signed(t *testing.T, a Address, permissions string, begin, end time.Time) Credential {
	t.Helper()
	key, err := container.NewSharedKeyCredential(a.Account, azurite.Key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := sas.BlobSignatureValues{Protocol: sas.ProtocolHTTPSandHTTP, ContainerName: a.Container, Permissions: permissions, StartTime: begin, ExpiryTime: end}.SignWithSharedKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Credential{SAS: p.Encode()}
}

// grant is a SAS that holds for an hour.
func grant(t *testing.T, a Address, permissions string) Credential {
	return signed(t, a, permissions, time.Time{}, time.Now().Add(time.Hour))
}

// The conformance test, with each kind of credential. Those that may not remove have another do it.
func TestStore(t *testing.T) {
	for _, c := range []struct{ name, permissions, prefix string }{{"key", "", ""}, {"create", "rcl", ""}, {"write", "rcwl", ""}, {"below", "", "a/prefix/"}} {
		t.Run(c.name, func(t *testing.T) {
			vaulttest.Run(t, func(t *testing.T) vault.Store {
				a := newContainer(t)
				a.Prefix = c.prefix
				credential := sharedKey
				if c.permissions != "" {
					credential = grant(t, a, c.permissions)
				}
				return helped{openStore(t, a, credential, Options{}), openStore(t, a, sharedKey, Options{})}
			})
		})
	}
}

// helped is a store whose objects another one removes.
type helped struct {
	*Store
	remover *Store
}

// Remove looks first: when an answer is lost, nobody can tell whether there was something to remove.
func (h helped) Remove(ctx context.Context, name string) error {
	if _, err := h.Size(ctx, name); err != nil {
		return err
	}
	return h.remover.Remove(ctx, name)
}

// In blocks, everything that is larger than nothing.
func TestBlocks(t *testing.T) {
	vaulttest.Run(t, func(t *testing.T) vault.Store {
		s := openStore(t, newContainer(t), sharedKey, Options{BlockSize: 100_000, Parallel: 3})
		s.single = 0
		return s
	})
}

func TestNoSecrets(t *testing.T) {
	a := newContainer(t)
	c := signed(t, a, "rcl", time.Time{}, time.Now().Add(-time.Hour))
	q, _ := url.ParseQuery(c.SAS)
	s := openStore(t, a, c, Options{})
	_, err := s.Size(t.Context(), "x")
	if err == nil || strings.Contains(err.Error(), q.Get("sig")) || strings.Contains(err.Error(), "sig=") || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an old SAS: %v", err)
	}
	a.Endpoint = "http://127.0.0.1:1/" + azurite.Account
	var told error
	s = openStore(t, a, c, Options{Patience: 20 * time.Millisecond, Waiting: func(_ time.Time, err error) { told = err }})
	_, err = s.Size(t.Context(), "x")
	for _, err := range []error{err, told} {
		if err == nil || strings.Contains(err.Error(), "sig") || !strings.Contains(err.Error(), "refused") {
			t.Errorf("nobody there: %v", err)
		}
	}
}
