package azure

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// A Credential opens accounts. One of its fields is set; none means what the environment gives a program of Azure's: a managed
// identity, a workload identity, or the login of the command line tool.
type Credential struct {
	SAS string // a shared access signature, without a question mark
	Key string // the account's, in base64
}

// ErrNoSecret says that there is no secret for a place where a login won't do.
var ErrNoSecret = errors.New("no secret is given for it, and a login is sent by https only")

// ErrLogin says that no secret is given, and that nobody is logged in, or not any more.
var ErrLogin = errors.New("no secret is given for it, and Azure knows neither this host nor its user")

// client returns the container's.
func (c Credential) client(a Address, o *container.ClientOptions) (*container.Client, error) {
	switch {
	case c.SAS != "":
		return container.NewClientWithNoCredential(a.containerURL()+"?"+strings.TrimPrefix(c.SAS, "?"), o)
	case c.Key != "":
		key, err := container.NewSharedKeyCredential(a.Account, c.Key)
		if err != nil {
			return nil, fmt.Errorf("the key of account %s is not base64", a.Account)
		}
		return container.NewClientWithSharedKeyCredential(a.containerURL(), key, o)
	}
	if strings.HasPrefix(a.service(), "http://") {
		return nil, ErrNoSecret
	}
	token, err := newLogin()
	if err != nil {
		return nil, err
	}
	return container.NewClient(a.containerURL(), token, o)
}

// A login is what Azure gives this host or user. Its errors are ErrLogin. It remembers its tokens for as long as they last.
type login struct{ azcore.TokenCredential }

func newLogin() (azcore.TokenCredential, error) {
	token, err := azidentity.NewDefaultAzureCredential(nil)
	return login{token}, err
}

func (l login) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t, err := l.TokenCredential.GetToken(ctx, o)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrLogin, err)
	}
	return t, err
}

// canWrite tells whether it can do more than create: send blocks, for example. Of one that names a policy of the container there is no telling.
func (c Credential) canWrite() bool {
	if c.SAS == "" {
		return true
	}
	q, err := url.ParseQuery(strings.TrimPrefix(c.SAS, "?"))
	return err == nil && strings.Contains(q.Get("sp"), "w")
}

// Expires is when the credential ends; zero for one that doesn't, or doesn't tell.
func (c Credential) Expires() time.Time {
	q, _ := url.ParseQuery(c.SAS)
	return timeOf(q.Get("se"))
}

// timeOf reads a time as a signature may have it; zero for none.
func timeOf(s string) time.Time {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02"} {
		if t, err := time.Parse(form, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// why tells what may be the matter when the service refuses it at that time.
func (c Credential) why(now time.Time) string {
	q, err := url.ParseQuery(strings.TrimPrefix(c.SAS, "?"))
	if c.SAS == "" || err != nil {
		return "the account refuses the credential, or its network rules refuse this host"
	}
	if end := timeOf(q.Get("se")); !end.IsZero() && now.After(end) {
		return "the SAS has expired at " + end.Format("2006-01-02 15:04 UTC")
	}
	if begin := timeOf(q.Get("st")); now.Before(begin) {
		return "the SAS isn't valid before " + begin.Format("2006-01-02 15:04 UTC")
	}
	if sp := q.Get("sp"); sp != "" {
		return "the SAS permits only " + sp + ", or was revoked"
	}
	return "the SAS doesn't permit it, or was revoked"
}
