package machine

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"waybill/internal/keys"
	"waybill/manifest"
)

func access(sas string, days int) *keys.Access {
	return &keys.Access{SAS: sas, Expires: newMachine.Now.AddDate(0, 0, days).Truncate(time.Second)}
}

// A machine finds the access that ends last among what anyone may have put there, and keeps what it is told to.
func TestAccess(t *testing.T) {
	v, dir, ctx := newVault(t), t.TempDir(), t.Context()
	v.credentials.Access = access("first", 10)
	s, err := Register(ctx, dir, v, v.credentials, newMachine)
	if err != nil {
		t.Fatal(err)
	}
	id := s.Secrets.Machine
	if err := errors.Join(s.NoteAccess(ctx, v), s.NoteAccess(ctx, v)); err != nil {
		t.Fatal(err)
	}
	find := func(good string) *keys.Access {
		t.Helper()
		a, err := s.NewerAccess(ctx, v, func(a *keys.Access) bool { return a.SAS == good })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := find("first"); a != nil {
		t.Errorf("what it has is taken for newer: %v", a)
	}
	put := func(name string, b []byte) {
		t.Helper()
		if err := v.Put(ctx, name, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	seal := func(a *keys.Access) []byte {
		t.Helper()
		b, err := a.Seal(vaultID, id, s.Machine.CatalogueRecipient)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, a := range []*keys.Access{access("older", 5), access("second", 20), access("third", 30), access("false", 40)} {
		put(manifest.AccessName(id, a.Expires), seal(a))
	}
	put(manifest.AccessName(id, newMachine.Now.AddDate(1, 0, 0)), []byte("junk"))
	put(manifest.AccessName(id, newMachine.Now.AddDate(2, 0, 0)), bytes.Repeat([]byte("x"), maxCopy+1))
	put(manifest.AccessPrefix(id)+"whatever", nil)
	put(manifest.AccessName(id, newMachine.Now.AddDate(3, 0, 0)), seal(access("third", 2))) // it says that it ends later than it does
	a := find("third")
	if a == nil || a.SAS != "third" {
		t.Fatalf("found %v", a)
	}
	c := *s.Credentials
	c.Access = a
	if err := s.SetCredentials(&c); err != nil {
		t.Fatal(err)
	}
	if a := find("second"); a != nil {
		t.Errorf("one that ends sooner is taken for newer: %v", a)
	}
	s.Close()
	s = reopen(t, dir)
	if *s.Credentials.Access != *a {
		t.Errorf("kept %v", s.Credentials.Access)
	}
	if info, err := os.Stat(s.path(credentialsName)); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the credentials' mode is %v, %v", info.Mode(), err)
	}
	c.ReceiptKey = s.Machine.SigningKey
	if err := s.SetCredentials(&c); !errors.Is(err, ErrOtherVault) {
		t.Errorf("credentials of another vault: %v", err)
	}
	if b, _ := os.ReadFile(s.path(credentialsName)); !strings.Contains(string(b), "third") {
		t.Error("they are gone")
	}
}
