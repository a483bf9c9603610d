package place

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/cli"
)

const testVault = "azblob://acme/vault"

func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	text := "# several\nhttps://other.blob.core.windows.net/vault?sp=r&sig=other\nhttps://acme.blob.core.windows.net/vault-work?sp=r&sig=work\nhttps://acme.blob.core.windows.net/vault?sp=r&sig=file\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	own := func(address string) string {
		if address == testVault {
			return "sp=r&sig=own"
		}
		return ""
	}
	all := map[string]string{"WAYBILL_AZURE_SECRET_FILE": file, "WAYBILL_AZURE_SECRET_COMMAND": "echo 'sig=command'",
		"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;AccountKey=a2V5;EndpointSuffix=core.windows.net", "AZURE_STORAGE_SAS_TOKEN": "?sig=token", "AZURE_STORAGE_KEY": "a2V5Mg=="}
	without := func(names ...string) map[string]string {
		m := map[string]string{}
		for k, v := range all {
			m[k] = v
		}
		for _, n := range names {
			delete(m, n)
		}
		return m
	}
	const f, c, s, tok, k = "WAYBILL_AZURE_SECRET_FILE", "WAYBILL_AZURE_SECRET_COMMAND", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_KEY"
	for _, tt := range []struct {
		name    string
		secrets Secrets
		env     map[string]string
		address string
		want    string // the end of the SAS, or the key
	}{
		{"the flag", Secrets{File: file, Own: own}, all, testVault, "sig=file"},
		{"the other flag", Secrets{Command: "echo sig=said", Own: own}, all, testVault, "sig=said"},
		{"its own", Secrets{Own: own}, all, testVault, "sig=own"},
		{"its own, elsewhere", Secrets{Own: own}, without(f, c), "azblob://acme/other", "a2V5"},
		{"a file", Secrets{}, all, testVault, "sig=file"},
		{"a file's other line", Secrets{}, all, "azblob://acme/vault-work", "sig=work"},
		{"a command", Secrets{}, without(f), testVault, "sig=command"},
		{"a connection string", Secrets{}, without(f, c), testVault, "a2V5"},
		{"a connection string of what the address says", Secrets{}, map[string]string{s: "AccountName=acme;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/acme;"}, testVault + "?endpoint=http://127.0.0.1:1/acme", "a2V5"},
		{"a signature", Secrets{}, without(f, c, s), testVault, "sig=token"},
		{"a key", Secrets{}, without(f, c, s, tok), testVault, "a2V5Mg=="},
		{"another account's key", Secrets{}, map[string]string{k: "a2V5Mg==", "AZURE_STORAGE_ACCOUNT": "other"}, testVault, ""},
		{"none", Secrets{}, nil, testVault, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.secrets.Getenv = func(name string) string { return tt.env[name] }
			_, got, err := tt.secrets.known(t.Context(), tt.address)
			if err != nil || got.SAS+got.Key != tt.want && (tt.want == "" || !strings.HasSuffix(got.SAS, tt.want)) {
				t.Errorf("got %q, %v, want %q", got.SAS+got.Key, err, tt.want)
			}
		})
	}
}

// No secret is in an error.
func TestSecretsErrors(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"of another account": {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=other;AccountKey=SeCrEt"},
		"of another cloud":   {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;AccountKey=SeCrEt;EndpointSuffix=core.chinacloudapi.cn"},
		"of an emulator":     {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;AccountKey=SeCrEt;BlobEndpoint=http://127.0.0.1:10000/acme;"},
		"no file":            {"WAYBILL_AZURE_SECRET_FILE": filepath.Join(t.TempDir(), "none")},
		"a failing command":  {"WAYBILL_AZURE_SECRET_COMMAND": "echo SeCrEt; exit 3"},
		"an empty command":   {"WAYBILL_AZURE_SECRET_COMMAND": "echo"},
		"no key":             {"AZURE_STORAGE_KEY": "not a SeCrEt key"},
	} {
		s := Secrets{Getenv: func(name string) string { return env[name] }}
		_, _, err := s.known(t.Context(), testVault)
		if err == nil || strings.Contains(err.Error()+cli.Explain(err, nil).Hint, "SeCrEt") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClean(t *testing.T) {
	for _, tt := range []struct{ address, want string }{
		{testVault, testVault},
		{testVault + "/", testVault},
		{testVault + "/db?endpoint=https://blob.example/acme/", "azblob://acme/vault/db?endpoint=https%3A%2F%2Fblob.example%2Facme"},
		{testVault + "?sig=SeCrEt", ""},
		{"azblob://user:SeCrEt@acme/vault", ""},
		{testVault + "?endpoint=https://x/?sig=SeCrEt", ""},
		{"azblob://acme/v%zz?sig=SeCrEt", ""},
		{"azblob://acme", ""},
		{"https://acme.blob.core.windows.net/vault?sp=r&sig=SeCrEt", ""},
		{"azblob://Acme/vault", ""},
	} {
		got, err := Clean(tt.address)
		if (err != nil) != (tt.want == "") || err == nil && got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.address, got, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "SeCrEt") {
			t.Errorf("the error tells: %v", err)
		}
	}
}
