package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"filippo.io/age"

	"waybill/internal/durable"
	"waybill/internal/keys"
	"waybill/manifest"
)

const vaultID = manifest.ID("6a1b0a52-7c59-4a0e-9f0e-0a3f6e1b2c3d")

var newMachine = New{Name: "db1", Cutter: manifest.Cutter{Algorithm: "test", Min: 1 << 14, Mean: 1 << 16, Max: 1 << 18},
	Now: time.Date(2026, 7, 1, 12, 0, 0, 1, time.UTC)}

// A testVault is a vault in a directory.
type testVault struct {
	*durable.Dir
	credentials *keys.Credentials
	recovery    *age.X25519Identity
}

func newVault(t *testing.T) testVault {
	t.Helper()
	v := testVault{}
	receipts, err := manifest.NewSigner()
	if err == nil {
		v.recovery, err = keys.NewRecovery()
	}
	if err == nil {
		v.Dir, err = durable.Open(t.TempDir())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Dir.Close() })
	doc := manifest.Vault{Vault: vaultID, Created: newMachine.Now.Truncate(time.Second),
		RecoveryRecipient: v.recovery.Recipient().String(), ReceiptKey: receipts.Public()}
	b, err := doc.Encode()
	if err == nil {
		err = v.Put(t.Context(), manifest.VaultName, bytes.NewReader(b))
	}
	if err == nil {
		err = v.Put(t.Context(), manifest.RecoveryName, bytes.NewReader([]byte("{}\n"))) // nobody opens it here
	}
	if err != nil {
		t.Fatal(err)
	}
	v.credentials = &keys.Credentials{Vault: vaultID, Address: v.Path(), RecoveryRecipient: doc.RecoveryRecipient,
		ReceiptKey: doc.ReceiptKey, Created: doc.Created}
	return v
}

func (v testVault) names(t *testing.T) (names []string) {
	t.Helper()
	if err := v.List(t.Context(), "", func(name string, _ int64) error { names = append(names, name); return nil }); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRegister(t *testing.T) {
	v, dir := newVault(t), filepath.Join(t.TempDir(), "new", "state")
	s, err := Register(t.Context(), dir, v, v.credentials, newMachine)
	if err != nil {
		t.Fatal(err)
	}
	id := s.Secrets.Machine
	if m, err := manifest.OpenMachine(t.Context(), v, id); err != nil || m.Name != "db1" || m.Cutter != newMachine.Cutter {
		t.Errorf("the vault has %+v, %v", m, err)
	}
	sealed, err := manifest.ReadObject(t.Context(), v, manifest.MachineKeyName(id), maxCopy)
	if err == nil {
		_, err = keys.OpenSecrets(sealed, v.recovery, vaultID, id)
	}
	if err != nil {
		t.Errorf("the recovery key doesn't open the machine's secrets: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = reopen(t, dir)
	if s.Secrets.Machine != id || *s.Credentials != *v.credentials || s.Machine.Name != "db1" {
		t.Errorf("opened as %+v", s)
	}
	if h, err := s.Head(); err != nil || h != (Head{}) {
		t.Errorf("head %v, %v", h, err)
	}
	copies, err := s.Copies()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range copies {
		if there, err := manifest.ReadObject(t.Context(), v, name, maxCopy); err != nil || !bytes.Equal(b, there) {
			t.Errorf("the copy of %s differs from the vault's (%v)", name, err)
		}
	}
	if got, want := len(v.names(t)), len(copies); got != want {
		t.Errorf("%d objects in the vault, %d copies", got, want)
	}
	if runtime.GOOS != "windows" {
		for name, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, secretsName): 0o600} {
			if st, err := os.Stat(name); err != nil || st.Mode().Perm() != want {
				t.Errorf("%s: mode %v, %v, want %v", name, st.Mode(), err, want)
			}
		}
	}
	if _, err := Register(t.Context(), dir, v, v.credentials, newMachine); !errors.Is(err, ErrRegistered) {
		t.Errorf("registered twice: %v", err)
	}
}

func reopen(t *testing.T, dir string) *State {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A failing store refuses its nth Put, before or after the effect.
type failing struct {
	testVault
	left  int
	after bool
}

var errStore = errors.New("the store fails")

func (f *failing) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	f.left--
	if f.left == 0 && !f.after {
		return errStore
	}
	err := f.testVault.Put(ctx, name, body)
	if f.left == 0 {
		return errStore
	}
	return err
}

// However a registration is interrupted, the next one finishes it, and there is one machine.
func TestRegisterInterrupted(t *testing.T) {
	for n := 1; n <= 3; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("put %d, after %v", n, after), func(t *testing.T) {
				v, dir := newVault(t), t.TempDir()
				if _, err := Register(t.Context(), dir, &failing{v, n, after}, v.credentials, newMachine); !errors.Is(err, errStore) {
					t.Fatalf("got %v", err)
				}
				if _, err := Open(dir); !errors.Is(err, ErrNotRegistered) {
					t.Errorf("half registered, it opens: %v", err)
				}
				s, err := Register(t.Context(), dir, v, v.credentials, newMachine)
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				if got := v.names(t); len(got) != 5 {
					t.Errorf("the vault has %q", got)
				}
				reopen(t, dir)
			})
		}
	}
}

func TestRegisterElsewhere(t *testing.T) {
	v, w := newVault(t), newVault(t) // equal ids, different keys: a vault that somebody else put there
	if _, err := Register(t.Context(), t.TempDir(), w, v.credentials, newMachine); !errors.Is(err, ErrOtherVault) {
		t.Errorf("got %v", err)
	}
	empty, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if _, err := Register(t.Context(), t.TempDir(), empty, v.credentials, newMachine); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no vault: %v", err)
	}
	if got := w.names(t); len(got) != 2 {
		t.Errorf("the other vault has %q", got)
	}
}

func TestRecover(t *testing.T) {
	v := newVault(t)
	old, err := Register(t.Context(), t.TempDir(), v, v.credentials, newMachine)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	head := commit(t, v, old)

	dir, id := t.TempDir(), old.Secrets.Machine
	other, _ := keys.NewRecovery()
	if _, err := Recover(t.Context(), dir, v, v.credentials, id, other); !errors.Is(err, keys.ErrWrongKey) {
		t.Errorf("with another key: %v", err)
	}
	if _, err := Recover(t.Context(), dir, v, v.credentials, vaultID, v.recovery); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no machine: %v", err)
	}
	s, err := Recover(t.Context(), dir, v, v.credentials, id, v.recovery)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = reopen(t, dir)
	if s.Secrets.DedupeKey() != old.Secrets.DedupeKey() || s.Secrets.Signer.Public() != old.Secrets.Signer.Public() {
		t.Error("recovered with other secrets")
	}
	if h, err := s.Head(); err != nil || h != head {
		t.Errorf("head %v, %v, want %v", h, err, head)
	}
	if copies, err := s.Copies(); err != nil || len(copies) != 5 {
		t.Errorf("%d copies, %v", len(copies), err)
	}
}

// commit puts a first manifest of the machine into the vault.
func commit(t *testing.T, v testVault, s *State) Head {
	t.Helper()
	id := s.Secrets.Machine
	m := manifest.Manifest{Vault: vaultID, Machine: id, Sequence: 1, Time: newMachine.Now.Truncate(time.Second), Tool: "test",
		Packs: []manifest.Pack{{Name: manifest.Sum(nil), Class: manifest.Catalogue, Size: 1000}}, Record: []byte("sealed")}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Secrets.Signer.Sign(b)
	if err == nil {
		err = v.Put(t.Context(), manifest.SignatureName(id, 1, manifest.Sum(b)), bytes.NewReader(sig))
	}
	if err == nil {
		err = v.Put(t.Context(), manifest.ManifestName(id, 1), bytes.NewReader(b))
	}
	if err != nil {
		t.Fatal(err)
	}
	return Head{1, manifest.Sum(b)}
}

func TestHead(t *testing.T) {
	v, dir := newVault(t), t.TempDir()
	s, err := Register(t.Context(), dir, v, v.credentials, newMachine)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := 1; n < 3; n++ {
		want := Head{n, manifest.Sum([]byte{byte(n)})}
		if err := s.SetHead(want); err != nil {
			t.Fatal(err)
		}
		if h, err := s.Head(); err != nil || h != want {
			t.Errorf("head %v, %v, want %v", h, err, want)
		}
	}
}

func TestLock(t *testing.T) {
	v, dir := newVault(t), t.TempDir()
	s, err := Register(t.Context(), dir, v, v.credentials, newMachine) // returns it locked
	if err != nil {
		t.Fatal(err)
	}
	second := reopen(t, dir)
	if err := second.Lock(); !errors.Is(err, ErrBusy) {
		t.Errorf("locked twice: %v", err)
	}
	s.Close()
	if err := second.Lock(); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

// Every file of a state that is missing, cut or changed is noticed.
func TestOpenBroken(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("an empty directory: %v", err)
	}
	v, dir := newVault(t), t.TempDir()
	s, err := Register(t.Context(), dir, v, v.credentials, newMachine)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, name := range []string{credentialsName, secretsName, headName, copiesPrefix + manifest.MachineName(s.Secrets.Machine)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, filepath.FromSlash(name))
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(path, good, 0o600)
			for what, b := range map[string][]byte{"cut": good[:len(good)/2], "empty": {}, "another file": []byte("{}\n"),
				"another machine": bytes.Replace(good, []byte(s.Secrets.Machine[:8]), []byte("00000000"), 1), "another format": bytes.Replace(good, []byte(" 1\""), []byte(" 2\""), 1)} {
				if bytes.Equal(b, good) {
					continue
				}
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := Open(dir); !errors.Is(err, manifest.ErrFormat) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			want := manifest.ErrFormat
			if name == headName {
				want = ErrNotRegistered
			}
			if _, err := Open(dir); !errors.Is(err, want) {
				t.Errorf("missing: %v", err)
			}
		})
	}
}

func TestDefaultDir(t *testing.T) {
	for _, tt := range []struct {
		name string
		goos string
		root bool
		env  map[string]string
		want string
	}{
		{"told", "linux", true, map[string]string{"WAYBILL_STATE": "/x"}, "/x"},
		{"root", "linux", true, map[string]string{"HOME": "/root"}, "/var/lib/waybill"},
		{"xdg", "linux", false, map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "/s"}, "/s/waybill"},
		{"relative xdg", "linux", false, map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "s"}, "/home/u/.local/state/waybill"},
		{"home", "linux", false, map[string]string{"HOME": "/home/u"}, "/home/u/.local/state/waybill"},
		{"nothing", "linux", false, nil, ""},
		{"windows", "windows", false, map[string]string{"ProgramData": "/data"}, "/data/Waybill"},
		{"windows without", "windows", true, nil, ""},
	} {
		got, err := DefaultDir(Environment{tt.goos, tt.root, func(name string) string { return tt.env[name] }})
		if filepath.ToSlash(got) != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(`{"format":"waybill head 1","sequence":0,"digest":""}`))
	f.Add([]byte(`{"format":"waybill head 1","sequence":1,"digest":"` + manifest.Sum(nil).String() + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHead(b); err == nil && (h.Sequence == 0) != h.Digest.IsZero() {
			t.Errorf("%+v", h)
		}
	})
}
