package azure

import (
	"testing"

	"waybill/ingest/vault"
	"waybill/ingest/vault/vaulttest"
	"waybill/internal/azurite"
)

var server azurite.Server

func TestMain(m *testing.M) { server.Main(m) }

func TestStore(t *testing.T) {
	server.Start(t)
	vaulttest.Run(t, func(t *testing.T) vault.Store { return newStore(t, Credential{Key: azurite.Key}) })
}

// newStore opens a container of its own.
func newStore(t *testing.T, c Credential) *Store {
	t.Helper()
	a, err := ParseAddress(server.Address(azurite.Name()))
	if err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), a, Credential{Key: azurite.Key}); err != nil {
		t.Fatal(err)
	}
	s, err := Open(a, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
