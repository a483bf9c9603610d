package azure

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"waybill/internal/durable"
)

// Scheme begins the addresses of this package.
const Scheme = "azblob://"

// An Address says where a vault is: azblob://ACCOUNT/CONTAINER[/PREFIX][?endpoint=URL]. It holds no secret.
type Address struct {
	Account   string
	Container string
	Prefix    string // before every name: empty, or with a slash at its end
	Endpoint  string // the account's blob service, without a slash at its end; empty for https://ACCOUNT.blob.core.windows.net
}

// ErrSecret says that somebody wrote a secret into an address.
var ErrSecret = errors.New("an address holds no secret, and this one may have a signature or a key in it")

var (
	accountForm   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	containerForm = regexp.MustCompile(`^([a-z0-9]+(-[a-z0-9]+)*|\$root)$`)
)

// ParseAddress reads an address. Its errors never repeat what may be secret.
func ParseAddress(text string) (Address, error) {
	if strings.Contains(text, "sig=") || strings.ContainsAny(text, "@;") { // a key before the account, or a connection string: nobody repeats it
		return Address{}, ErrSecret
	}
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(text, Scheme) {
		return Address{}, fmt.Errorf("it is not of the form %sACCOUNT/CONTAINER[/PREFIX][?endpoint=URL]", Scheme)
	}
	q := u.Query()
	if u.User != nil {
		return Address{}, ErrSecret
	}
	a := Address{Account: u.Host, Endpoint: strings.TrimSuffix(q.Get("endpoint"), "/")}
	q.Del("endpoint")
	if len(q) > 0 || u.Fragment != "" {
		return Address{}, errors.New("only ?endpoint=URL may follow the name")
	}
	var prefix string
	a.Container, prefix, _ = strings.Cut(strings.Trim(u.Path, "/"), "/")
	if prefix != "" {
		if err := durable.CheckName(prefix); err != nil || len(prefix) > 60 {
			return Address{}, fmt.Errorf("the prefix %q: at most 60 small letters, digits, dots and dashes", prefix)
		}
		a.Prefix = prefix + "/"
	}
	switch {
	case !accountForm.MatchString(a.Account):
		return Address{}, fmt.Errorf("%q is no storage account's name", a.Account)
	case a.Container == "":
		return Address{}, fmt.Errorf("it names no container: %sACCOUNT/CONTAINER", Scheme)
	case len(a.Container) < 3 || len(a.Container) > 63 || !containerForm.MatchString(a.Container):
		return Address{}, fmt.Errorf("%q is no container's name: 3 to 63 small letters and digits, and single dashes between them", a.Container)
	}
	return a, a.checkEndpoint()
}

func (a Address) checkEndpoint() error {
	if a.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(a.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("the endpoint is no URL of http or https")
	case u.RawQuery != "" || u.User != nil:
		return ErrSecret
	}
	return nil
}

// String is the address as ParseAddress reads it.
func (a Address) String() string {
	text := Scheme + a.Account + "/" + a.Container
	if a.Prefix != "" {
		text += "/" + strings.TrimSuffix(a.Prefix, "/")
	}
	if a.Endpoint != "" {
		text += "?" + url.Values{"endpoint": {a.Endpoint}}.Encode()
	}
	return text
}

// Same tells whether two addresses are of the same place, however they are written.
func (a Address) Same(b Address) bool {
	return a.containerURL() == b.containerURL() && a.Prefix == b.Prefix
}

// service is the URL of the account's blob service.
func (a Address) service() string {
	if a.Endpoint != "" {
		return a.Endpoint
	}
	return "https://" + a.Account + ".blob.core.windows.net"
}

// containerURL is the container's.
func (a Address) containerURL() string { return a.service() + "/" + a.Container }

// URL is the container's, without a secret.
func (a Address) URL() string { return a.containerURL() }
