package manifest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"
)

// testKey is a secret key that golden files are signed with.
const testKey = "testdata/key.secret"

func testSigner(t testing.TB) *Signer {
	t.Helper()
	text, err := os.ReadFile(testKey)
	if err == nil {
		var s *Signer
		if s, err = ParseSigner(text); err == nil {
			return s
		}
	}
	t.Fatal(err)
	return nil
}

func mustSign(t testing.TB, s *Signer, b []byte) []byte {
	t.Helper()
	sig, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestSignatureGolden(t *testing.T) {
	s := testSigner(t)
	b, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "manifest.json.minisig", mustSign(t, s, b))
	golden(t, "key.pub", []byte(s.Public()+"\n"))
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "key.secret", text)
}

func TestVerify(t *testing.T) {
	s := testSigner(t)
	other, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	b := []byte("what is signed\n")
	sig := mustSign(t, s, b)
	if err := Verify(s.Public(), b, sig); err != nil {
		t.Error(err)
	}
	plainForm := minisign.Sign(s.key, b) // the older form, over the bytes themselves
	for name, try := range map[string]struct {
		key    PublicKey
		b, sig []byte
		want   error
	}{
		"another key":        {other.Public(), b, sig, ErrSignature},
		"another's":          {s.Public(), b, mustSign(t, other, b), ErrSignature},
		"changed bytes":      {s.Public(), b[1:], sig, ErrSignature},
		"no signature":       {s.Public(), b, nil, ErrSignature},
		"cut":                {s.Public(), b, sig[:len(sig)/2], ErrSignature},
		"not prehashed":      {s.Public(), b, plainForm, ErrSignature},
		"comment changed":    {s.Public(), b, bytes.Replace(sig, []byte("signed by"), []byte("forged by"), 1), ErrSignature},
		"no key":             {"", b, sig, ErrFormat},
		"key with a newline": {s.Public() + "\n", b, sig, ErrFormat},
	} {
		if err := Verify(try.key, try.b, try.sig); !errors.Is(err, try.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStockTool proves that who has no Waybill can check what Waybill signed.
func TestStockTool(t *testing.T) {
	tool, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("needs minisign (apt-get install minisign)")
	}
	s, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, sig := filepath.Join(dir, "00000001.json"), filepath.Join(dir, "sig")
	b, _ := first().Encode()
	for name, b := range map[string][]byte{file: b, sig: mustSign(t, s, b)} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func() (string, error) {
		out, err := exec.CommandContext(t.Context(), tool, "-V", "-m", file, "-x", sig, "-P", string(s.Public())).CombinedOutput()
		return string(out), err
	}
	if out, err := run(); err != nil || !strings.Contains(out, "Signature and comment signature verified") {
		t.Errorf("minisign: %v\n%s", err, out)
	}
	if err := os.WriteFile(file, append(b, ' '), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run(); err == nil {
		t.Errorf("minisign accepts a changed file: %s", out)
	}
}

func FuzzVerify(f *testing.F) {
	s := testSigner(f)
	b := []byte("message")
	f.Add(b, mustSign(f, s, b))
	f.Fuzz(func(t *testing.T, b, sig []byte) {
		if err := Verify(s.Public(), b, sig); err != nil && !errors.Is(err, ErrSignature) {
			t.Fatalf("an error of no kind: %v", err)
		}
	})
}

func FuzzParseSigner(f *testing.F) {
	text, _ := testSigner(f).MarshalText()
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSigner(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		s.Public()
	})
}
