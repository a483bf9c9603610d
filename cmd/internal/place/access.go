package place

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/ingest/vault/azure"
	"waybill/internal/cli"
)

// An Access is a shared access signature for a container, and when it ends.
type Access struct {
	SAS     string
	Expires time.Time
}

// MaxLogin is how long an access is good at most that a login makes, not an account's key.
const MaxLogin = azure.MaxDelegation

// ErrTooLong says that a login can't make an access for so long.
var ErrTooLong = azure.ErrTooLong

// ForMachine makes the access of a machine to its vault, from now on: it creates objects, reads and lists, and can neither overwrite nor delete. A path
// asks for none: then it is zero.
func (s Secrets) ForMachine(ctx context.Context, address string, now time.Time, valid time.Duration) (Access, error) {
	if !Remote(address) {
		return Access{}, nil
	}
	s.Own = nil // it can't make another
	a, c, err := s.known(ctx, address)
	if err != nil {
		return Access{}, err
	}
	return issue(ctx, a, c, azure.CreateOnly, now, valid)
}

// ForIngest makes a secret, as --secret-file takes it, for those who ingest into a vault on many hosts: for the vault, where they can do what a machine can, and for
// its work container, where they claim what they work on. That one is made if it isn't there.
func (s Secrets) ForIngest(ctx context.Context, address string, now time.Time, valid time.Duration) (text string, ends time.Time, err error) {
	if !Remote(address) {
		return "", time.Time{}, cli.Errorf(cli.Usage, "%s is a directory: who ingests needs no secret for it", address)
	}
	s.Own = nil
	a, c, err := s.known(ctx, address)
	if err != nil {
		return "", time.Time{}, err
	}
	work := workOf(a)
	if err := azure.Create(ctx, work, c, azure.Options{}); err != nil {
		return "", time.Time{}, err
	}
	v, err := issue(ctx, a, c, azure.CreateOnly, now, valid)
	if err != nil {
		return "", time.Time{}, err
	}
	w, err := issue(ctx, work, c, azure.Claiming, now, valid)
	text = fmt.Sprintf("# A secret, for --secret-file, until %s: the vault's container, and where work is claimed\n%s?%s\n%s?%s\n",
		v.Expires.Format(time.RFC3339), a.URL(), v.SAS, work.URL(), w.SAS)
	return text, v.Expires, err
}

// Ends is when a shared access signature says that it ends; zero when it doesn't say.
func Ends(sas string) time.Time { return azure.Credential{SAS: sas}.Expires() }

func issue(ctx context.Context, a azure.Address, c azure.Credential, p azure.Permissions, now time.Time, valid time.Duration) (Access, error) {
	ends := now.Add(valid).UTC().Truncate(time.Second)
	signed, err := azure.Issue(ctx, a, c, p, now, ends)
	if errors.Is(err, azure.ErrCannotIssue) {
		return Access{}, cli.Errorf(cli.Usage, "%w", err).Hinted("give the account's key with --secret-file, or leave all secrets out and log in: `az login`, or a managed identity")
	}
	return Access{signed.SAS, ends}, err
}
