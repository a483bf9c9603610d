package azure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"waybill/internal/azurite"
)

// A managed identity is all that is needed: with it a container is made, and a signature issued for a machine, by a key that the service gives to the login.
func TestLogin(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux is a certificate trusted by the environment")
	}
	cert, key := certificate(t)
	t.Setenv("SSL_CERT_FILE", cert)
	var secure azurite.Server
	if err := secure.Run("--oauth", "basic", "--cert", cert, "--key", key); errors.Is(err, azurite.ErrAbsent) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer secure.Stop()
	identity := httptest.NewServer(http.HandlerFunc(giveToken))
	defer identity.Close()
	t.Setenv("IDENTITY_ENDPOINT", identity.URL) // as App Service gives it
	t.Setenv("IDENTITY_HEADER", "x")

	a, err := ParseAddress(secure.Address(azurite.Name()))
	if err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), a, Credential{}, Options{}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c, err := Issue(t.Context(), a, Credential{}, CreateOnly, now, now.Add(MaxDelegation))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(c.SAS, "skoid=") || strings.Contains(c.SAS, "spr=https%2Chttp&") {
		t.Error("it is not signed for the login, or not for TLS only")
	}
	s := open(t, a, c)
	if err := s.Put(t.Context(), "x", strings.NewReader("x")); err != nil {
		t.Errorf("create: %v", err)
	}
	if _, err := s.ReadAt(t.Context(), "x", make([]byte, 1), 0); err != nil {
		t.Errorf("read: %v", err)
	}
	if err := s.Remove(t.Context(), "x"); !refuses(err) {
		t.Errorf("delete: %v, want a refusal", err)
	}
}

// giveToken answers as a managed identity's endpoint. Azurite believes what a token says.
func giveToken(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	part := func(v any) string { b, _ := json.Marshal(v); return base64.RawURLEncoding.EncodeToString(b) }
	token := part(map[string]any{"alg": "none", "typ": "JWT"}) + "." + part(map[string]any{
		"aud": "https://storage.azure.com", "iss": "https://sts.windows-ppe.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
		"oid": "11059fcc-5514-4800-b5f8-49808b9cfab6", "tid": "ab1f708d-50f6-404c-a006-d71b2ac7a606"}) + ".none"
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_on": now.Add(time.Hour).Unix(), "resource": "https://storage.azure.com"})
}

// certificate writes one for this machine, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err1 := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	kder, err2 := x509.MarshalPKCS8PrivateKey(k)
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	err = errors.Join(err1, err2,
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
