package azure

import (
	"errors"
	"testing"
)

// Whatever may have a secret in it is told apart from what is only written wrong, which people are shown again.
func TestSecretsInAddresses(t *testing.T) {
	for _, text := range []string{"azblob://acct/vault?sv=1&sig=abc", "azblob://acct:a2V5@acct/vault", "azblob://acct:a/b+c==@acct/vault", "azblob://:a/b+c==@vault",
		"azblob://AccountName=acct;AccountKey=a/b==/vault", "azblob://acct/vault?endpoint=https://u:p@host", "azblob://acct/vault?endpoint=https%3A%2F%2Fhost%3Fsig%3Dx"} {
		if a, err := ParseAddress(text); !errors.Is(err, ErrSecret) {
			t.Errorf("%s: %v %v", text, a, err)
		}
	}
	for _, text := range []string{"azblob://acct", "azblob://ACCT/vault", "azblob://acct/va--ult", "azblob://acct/vault?x=y", "azblob://acct:x/vault"} {
		if a, err := ParseAddress(text); err == nil || errors.Is(err, ErrSecret) {
			t.Errorf("%s: %v %v", text, a, err)
		}
	}
}
