package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// Permissions are what a shared access signature permits, in Azure's letters.
type Permissions string

const (
	// CreateOnly creates objects, reads and lists them. What is there it can neither overwrite nor delete: that takes w or d.
	CreateOnly Permissions = "rcl"
	// Claiming is CreateOnly, and takes leases. Whoever can do that can also overwrite.
	Claiming Permissions = "rcwl"
)

// MaxDelegation is how long a signature is good at most that a login's key makes, not the account's.
const MaxDelegation = 7 * 24 * time.Hour

// clockSkew is by how much clocks may differ: a signature is good from so long before it was made.
const clockSkew = 15 * time.Minute

var (
	// ErrCannotIssue says that a signature can't make another.
	ErrCannotIssue = errors.New("a shared access signature can't make another one")
	// ErrTooLong says that a login's key can't sign for so long.
	ErrTooLong = errors.New("without the account's key, a signature is good for 7 days at most")
)

// Issue makes a shared access signature for the container of an address that is good from now until expires. The account's key signs it; without one a
// key that the service gives to a login, for up to MaxDelegation. It reaches the whole container, also where the address has a prefix: Azure knows
// no narrower one.
func Issue(ctx context.Context, a Address, c Credential, p Permissions, now, expires time.Time) (Credential, error) {
	v := sas.BlobSignatureValues{Protocol: sas.ProtocolHTTPS, StartTime: now.Add(-clockSkew).UTC(), ExpiryTime: expires.UTC(),
		Permissions: string(p), ContainerName: a.Container}
	if strings.HasPrefix(a.service(), "http://") {
		v.Protocol = sas.ProtocolHTTPSandHTTP
	}
	q, err := c.sign(ctx, a, v, now)
	if err != nil {
		return Credential{}, fmt.Errorf("making a shared access signature for %s: %w", a, err)
	}
	return Credential{SAS: q.Encode()}, nil
}

func (c Credential) sign(ctx context.Context, a Address, v sas.BlobSignatureValues, now time.Time) (sas.QueryParameters, error) {
	switch {
	case c.SAS != "":
		return sas.QueryParameters{}, ErrCannotIssue
	case c.Key != "":
		key, err := container.NewSharedKeyCredential(a.Account, c.Key)
		if err != nil {
			return sas.QueryParameters{}, fmt.Errorf("the key of account %s is not base64", a.Account) // the SDK's error repeats it
		}
		return v.SignWithSharedKey(key)
	case v.ExpiryTime.Sub(now) > MaxDelegation:
		return sas.QueryParameters{}, ErrTooLong
	}
	key, err := delegation(ctx, a, v.StartTime, v.ExpiryTime)
	if err != nil {
		return sas.QueryParameters{}, err
	}
	return v.SignWithUserDelegation(key)
}

// delegation asks the service for a key that signs for whoever is logged in.
func delegation(ctx context.Context, a Address, from, until time.Time) (*service.UserDelegationCredential, error) {
	token, err := newLogin()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(a.service())
	if err != nil {
		return nil, err
	}
	// The SDK takes the account's name from the host's: it is shown one that begins with it, and the request goes where it should.
	o := &service.ClientOptions{ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}, PerRetryPolicies: []policy.Policy{sendTo{u}}}}
	client, err := service.NewClient("https://"+a.Account+".invalid", token, o)
	if err != nil {
		return nil, err
	}
	layout := "2006-01-02T15:04:05Z"
	return client.GetUserDelegationCredential(ctx, service.KeyInfo{Start: to.Ptr(from.Format(layout)), Expiry: to.Ptr(until.Format(layout))}, nil)
}

// sendTo sends requests to another service than they are for.
type sendTo struct{ *url.URL }

func (s sendTo) Do(r *policy.Request) (*http.Response, error) {
	u := r.Raw().URL
	u.Scheme, u.Host, u.Path = s.Scheme, s.Host, s.Path+u.Path
	r.Raw().Host = s.Host
	return r.Next()
}

// String tells of which kind it is, and no secret.
func (c Credential) String() string {
	switch {
	case c.SAS != "":
		return "a shared access signature"
	case c.Key != "":
		return "the account's key"
	}
	return "what the environment gives"
}

// GoString is String.
func (c Credential) GoString() string { return c.String() }
