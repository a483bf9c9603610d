package restore_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"filippo.io/age"

	"waybill/ingest/vault"
	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/internal/restore"
	"waybill/manifest"
)

// TestMain is also the program that TestKilled kills.
func TestMain(m *testing.M) {
	job := os.Getenv("WAYBILL_TEST_RESTORE")
	if job == "" {
		os.Exit(m.Run())
	}
	if err := child(strings.Split(job, "\n")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(args []string) error {
	ctx := context.Background()
	v, err := vault.Open(args[0])
	if err != nil {
		return err
	}
	recovery, err := age.ParseX25519Identity(args[1])
	if err != nil {
		return err
	}
	doc := &manifest.Machine{Vault: "0a000000-0000-4000-8000-000000000001", Machine: "0b000000-0000-4000-8000-000000000002", SigningKey: manifest.PublicKey(args[3])}
	d, err := domain.Open(ctx, []domain.Store{v}, doc, domain.Options{Keys: pack.Keys{Recovery: recovery}, Dedupe: [32]byte{1}, IndexDir: args[4]})
	if err != nil {
		return err
	}
	defer d.Close()
	p, err := d.Resolve(ctx, "latest")
	if err != nil {
		return err
	}
	fmt.Println("begins")
	_, err = restore.Run(ctx, d, p, restore.Options{To: args[2]})
	return err
}
