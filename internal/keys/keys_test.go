package keys

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	vaultID   = manifest.ID("6a1b0a52-7c59-4a0e-9f0e-0a3f6e1b2c3d")
	machineID = manifest.ID("0f8c2d3e-4b5a-4697-8877-665544332211")
)

var (
	passphrase = []byte("correct horse battery staple")
	quick      = Cost{Time: 1, MemoryKiB: 64, Threads: 1}
)

func TestCheckPassphrase(t *testing.T) {
	for _, tt := range []struct{ name, passphrase, want string }{
		{"good", "0123456789abcdef", ""},
		{"characters, not bytes", "äöüßäöüßäöüßäöü", "has 15 characters, it needs at least 16"},
		{"empty", "", "has 0 characters"},
		{"not text", "0123456789abcdef\xff", "not valid UTF-8"},
		{"two lines", "0123456789\nabcdef", "more than one line"},
		{"trailing newline", "0123456789abcdef\n", "more than one line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckPassphrase([]byte(tt.passphrase))
			if fmt.Sprint(err) == "<nil>" != (tt.want == "") || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRecoveryKeyOnPaper(t *testing.T) {
	id, err := NewRecovery()
	if err != nil {
		t.Fatal(err)
	}
	key := id.String()
	for name, text := range map[string]string{
		"as it is":   key,
		"a file":     "# made 2026-07-01\n# public key: " + id.Recipient().String() + "\n" + key + "\n",
		"in groups":  key[:20] + " " + key[20:40] + "\r\n\t" + key[40:],
		"lower case": strings.ToLower(key),
	} {
		if got, err := ParseRecoveryKey(text); err != nil || got.String() != key {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{"empty": "", "the public half": id.Recipient().String(), "a typing error": key[:30] + "X" + key[31:], "two": key + key} {
		_, err := ParseRecoveryKey(text)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), key[16:30]) {
			t.Errorf("%s: the error tells the key: %v", name, err)
		}
	}
}

func TestWrap(t *testing.T) {
	id, _ := NewRecovery()
	b, err := Wrap(id, passphrase, vaultID, quick)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Unwrap(b, passphrase, vaultID); err != nil || got.String() != id.String() {
		t.Fatalf("opened as %v, %v", got, err)
	}
	if _, err := Unwrap(b, []byte("correct horse battery stable"), vaultID); !errors.Is(err, ErrWrongKey) {
		t.Errorf("with a wrong passphrase: %v", err)
	}
	if _, err := Unwrap(b, passphrase, machineID); !errors.Is(err, ErrWrongKey) {
		t.Errorf("for another vault: %v", err)
	}
	if _, err := Wrap(id, []byte("short"), vaultID, quick); err == nil {
		t.Error("a short passphrase was taken")
	}
	if bytes.Contains(b, []byte(id.String())) {
		t.Error("the key is in the clear")
	}
}

func TestWrapCost(t *testing.T) {
	id, _ := NewRecovery()
	b, err := Wrap(id, passphrase, vaultID, FullCost)
	if err != nil || !bytes.Contains(b, []byte(`"kdf":"argon2id","time":3,"memory_kib":262144,"threads":4,`)) {
		t.Errorf("%v: %s", err, b)
	}
}

func TestParseWrappedLimits(t *testing.T) {
	id, _ := NewRecovery()
	b, _ := Wrap(id, passphrase, vaultID, quick)
	good := string(b)
	for _, tt := range []struct{ name, old, new string }{
		{"no time", `"time":1`, `"time":0`},
		{"too much time", `"time":1`, `"time":65`},
		{"no memory", `"memory_kib":64`, `"memory_kib":0`},
		{"too much memory", `"memory_kib":64`, `"memory_kib":4194305`},
		{"more memory than a number holds", `"memory_kib":64`, `"memory_kib":99999999999`},
		{"no threads", `"threads":1`, `"threads":0`},
		{"too many threads", `"threads":1`, `"threads":65`},
		{"another function", `"argon2id"`, `"argon2i"`},
		{"another generation", `waybill recovery 1`, `waybill recovery 2`},
		{"short salt", `"salt":"`, `"salt":"","x":"`},
		{"short nonce", `"nonce":"`, `"nonce":"AAAA`},
		{"a second document", "}\n", "}{}\n"},
		{"cut", "\"}\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(good, tt.old, tt.new, 1)
			if bad == good {
				t.Fatal("nothing was changed")
			}
			if _, err := Unwrap([]byte(bad), passphrase, vaultID); !errors.Is(err, manifest.ErrFormat) {
				t.Errorf("got %v, want ErrFormat", err)
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	s, err := NewSecrets(vaultID, machineID)
	if err != nil {
		t.Fatal(err)
	}
	recovery, _ := NewRecovery()
	sealed, err := s.Seal(recovery.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenSecrets(sealed, recovery, vaultID, machineID)
	if err != nil {
		t.Fatal(err)
	}
	sameSecrets(t, got, s)
	if s.DedupeKey() == s.CutterKey() {
		t.Error("the derived keys are the same")
	}

	other, _ := NewRecovery()
	if _, err := OpenSecrets(sealed, other, vaultID, machineID); !errors.Is(err, ErrWrongKey) {
		t.Errorf("with another key: %v", err)
	}
	if _, err := OpenSecrets(sealed, recovery, machineID, machineID); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("as of another vault: %v", err)
	}
	if _, err := OpenSecrets(sealed, recovery, vaultID, vaultID); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("as of another machine: %v", err)
	}
}

// Every flipped bit of a sealed file is noticed, and never looks like anything but damage or a wrong key.
func TestSecretsDamaged(t *testing.T) {
	s, _ := NewSecrets(vaultID, machineID)
	recovery, _ := NewRecovery()
	sealed, _ := s.Seal(recovery.Recipient())
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1 << (i % 8)
		if _, err := OpenSecrets(bad, recovery, vaultID, machineID); !errors.Is(err, manifest.ErrFormat) && !errors.Is(err, ErrWrongKey) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := OpenSecrets(sealed[:i], recovery, vaultID, machineID); !errors.Is(err, manifest.ErrFormat) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func sameSecrets(t *testing.T, got, want *Secrets) {
	t.Helper()
	if got.Vault != want.Vault || got.Machine != want.Machine || got.domain != want.domain ||
		got.Catalogue.String() != want.Catalogue.String() || got.Signer.Public() != want.Signer.Public() {
		t.Errorf("got %+v, want %+v", got, want)
	}
	sig, err := got.Signer.Sign([]byte("x"))
	if err == nil {
		err = manifest.Verify(want.Signer.Public(), []byte("x"), sig)
	}
	if err != nil {
		t.Errorf("the signing key doesn't sign: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	recovery, _ := NewRecovery()
	s, _ := NewSecrets(vaultID, machineID)
	c := Credentials{Vault: vaultID, Address: "/srv/<vault>", RecoveryRecipient: recovery.Recipient().String(),
		ReceiptKey: s.Signer.Public(), Created: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseCredentials(b)
	if err != nil || *got != c {
		t.Fatalf("got %+v, %v, want %+v", got, err, c)
	}
	for _, tt := range []struct{ name, old, new string }{
		{"another generation", "credentials 1", "credentials 2"},
		{"no vault", string(vaultID), ""},
		{"no address", "/srv/<vault>", ""},
		{"a wrong recipient", "age1", "age2"},
		{"the private half", recovery.Recipient().String(), recovery.String()},
		{"something unknown", `"vault"`, `"color":"red","vault"`},
	} {
		bad := bytes.Replace(b, []byte(tt.old), []byte(tt.new), 1)
		if _, err := ParseCredentials(bad); !errors.Is(err, manifest.ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", tt.name, err)
		}
	}
}

func TestCredentialsWithAccess(t *testing.T) {
	recovery, _ := NewRecovery()
	s, _ := NewSecrets(vaultID, machineID)
	c := Credentials{Vault: vaultID, Address: "azblob://acme/vault", RecoveryRecipient: recovery.Recipient().String(), ReceiptKey: s.Signer.Public(),
		Access: &Access{SAS: "sv=1&sig=SeCrEt", Expires: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}}
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseCredentials(b)
	if err != nil || *got.Access != *c.Access {
		t.Fatalf("got %v, %v", got, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", *got.Access, got.Access, got.Access); strings.Contains(text, "SeCrEt") {
		t.Errorf("printed, it tells: %s", text)
	}
	for _, tt := range []struct{ name, old, new string }{{"no signature", "sv=1&sig=SeCrEt", ""}, {"no end", `,"expires":"2026-07-01T12:00:00Z"`, ""}} {
		bad := bytes.Replace(b, []byte(tt.old), []byte(tt.new), 1)
		if _, err := ParseCredentials(bad); !errors.Is(err, manifest.ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", tt.name, err)
		}
	}
}

func TestAccess(t *testing.T) {
	s, _ := NewSecrets(vaultID, machineID)
	a := Access{SAS: "sv=1&sig=SeCrEt", Expires: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	sealed, err := a.Seal(vaultID, machineID, s.Catalogue.Recipient().String())
	if err != nil || !IsSealed(sealed) {
		t.Fatal(err)
	}
	if got, err := OpenAccess(sealed, s); err != nil || *got != a {
		t.Fatalf("got %v, %v", got, err)
	}
	other, _ := NewSecrets(vaultID, machineID)
	if _, err := OpenAccess(sealed, other); !errors.Is(err, ErrWrongKey) {
		t.Errorf("with another machine's key: %v", err)
	}
	for _, whose := range [][2]manifest.ID{{vaultID, vaultID}, {machineID, machineID}} {
		sealed, err := a.Seal(whose[0], whose[1], s.Catalogue.Recipient().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAccess(sealed, s); !errors.Is(err, manifest.ErrFormat) {
			t.Errorf("one for %v: %v", whose, err)
		}
	}
	for i := range sealed {
		if _, err := OpenAccess(sealed[:i], s); !errors.Is(err, manifest.ErrFormat) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := a.Seal(vaultID, machineID, "age1"); err == nil {
		t.Error("sealed for nobody")
	}
}

// The golden files are those of a vault of generation 1: they must open for ever.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	id, err := Unwrap(read("recovery.json"), passphrase, vaultID)
	if err != nil {
		t.Fatal(err)
	}
	if paper, err := ParseRecoveryKey(string(read("recovery.key"))); err != nil || paper.String() != id.String() {
		t.Errorf("the recovery key on paper is another one: %v", err)
	}
	s, err := OpenSecrets(read("machine.age"), id, vaultID, machineID)
	if err != nil {
		t.Fatal(err)
	}
	if clear, err := s.Encode(); err != nil || !bytes.Equal(clear, read("secrets.json")) {
		t.Errorf("the secrets are %s (%v)", clear, err)
	}
	dedupe, cutter := s.DedupeKey(), s.CutterKey()
	if got := hex.EncodeToString(dedupe[:]) + "\n" + hex.EncodeToString(cutter[:]) + "\n"; got != string(read("derived.txt")) {
		t.Errorf("dedupe and cutter key are\n%s", got)
	}
}

func writeGolden(t *testing.T) {
	id, _ := NewRecovery()
	recovery, err1 := Wrap(id, passphrase, vaultID, quick)
	s, err2 := NewSecrets(vaultID, machineID)
	sealed, err3 := s.Seal(id.Recipient())
	clear, err4 := s.Encode()
	if err := errors.Join(err1, err2, err3, err4, os.MkdirAll("testdata", 0o777)); err != nil {
		t.Fatal(err)
	}
	dedupe, cutter := s.DedupeKey(), s.CutterKey()
	for name, b := range map[string][]byte{
		"recovery.json": recovery, "machine.age": sealed, "secrets.json": clear, "recovery.key": []byte(id.String() + "\n"),
		"derived.txt": fmt.Appendf(nil, "%x\n%x\n", dedupe, cutter),
	} {
		if err := os.WriteFile(filepath.Join("testdata", name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzParsers(f *testing.F) {
	names, err := filepath.Glob("testdata/*.*")
	if err != nil || len(names) == 0 {
		f.Fatal("no golden files")
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseSecrets(b); err == nil {
			again, err := s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			back, err := ParseSecrets(again)
			if err != nil {
				t.Fatal(err)
			}
			sameSecrets(t, back, s)
		}
		if c, err := ParseCredentials(b); err == nil {
			if _, err := c.Encode(); err != nil {
				t.Fatal(err)
			}
		}
		if w, err := parseWrapped(b); err == nil && (w.Time > maxTime || w.MemoryKiB > maxMemoryKiB || w.Threads > maxThreads) {
			t.Fatalf("a cost of %+v", w.Cost)
		}
		ParseRecoveryKey(string(b))
	})
}
