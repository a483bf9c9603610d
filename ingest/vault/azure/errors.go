package azure

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// ErrOutOfReach says that for as long as Options.Patience allows the service did not answer, or only that it can't now. It tells nothing of what is in a vault.
var ErrOutOfReach = errors.New("the vault is out of reach")

// ErrNoContainer says that there is no such container. It is not fs.ErrNotExist, which is about an object.
var ErrNoContainer = errors.New("there is no such container")

// A RefusedError is an answer that the service means: asking again changes nothing. When it is about permissions, it is fs.ErrPermission.
type RefusedError struct {
	Status    int
	Code      string // the service's name for it; may be empty
	RequestID string // under which the service's people find it
	Why       string // more, when we know; may be empty
}

// Error says it in the service's words, and ours.
func (e *RefusedError) Error() string {
	text := fmt.Sprintf("the service says %d %s", e.Status, e.Code)
	if e.Code == "" {
		text = fmt.Sprintf("the answer is %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Why != "" {
		text += ": " + e.Why
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Is tells that it is fs.ErrPermission.
func (e *RefusedError) Is(target error) bool { return target == fs.ErrPermission && e.denied() }

func (e *RefusedError) denied() bool {
	return e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized || e.Code == string(bloberror.BlobImmutableDueToPolicy)
}

// An ArchivedError says that an object is in the archive: it is there, and has to be brought back before it can be read. See Store.Rehydrate.
type ArchivedError struct {
	Name    string
	Pending bool // it is being brought back already
}

// Error says which, and what becomes of it.
func (e *ArchivedError) Error() string {
	if e.Pending {
		return "it is in the archive, and being brought back from there"
	}
	return "it is in the archive, and must be brought back from there before it can be read"
}

// A bodyError is what is wrong with what is to be stored, not with the line.
type bodyError struct{ error }

func (e bodyError) Unwrap() error { return e.error }

// passes tells whether a request may succeed when it is made again: the line broke, or the service can't now. Nothing that passes says anything about what
// is stored.
func passes(err error) bool {
	var answer *azcore.ResponseError
	switch {
	case err == nil, errors.As(err, new(bodyError)), errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &answer):
		return answerPasses(answer)
	}
	var verify *tls.CertificateVerificationError
	var odd tls.RecordHeaderError
	if errors.As(err, &verify) || errors.As(err, &odd) { // it is somebody else
		return false
	}
	var transport *url.Error
	var network net.Error
	var cut *xml.SyntaxError
	return errors.As(err, &transport) || errors.As(err, &network) || errors.As(err, &cut) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, errShort)
}

// errShort says that a body ended before its time, though its connection didn't.
var errShort = errors.New("the answer is shorter than it should be")

func answerPasses(e *azcore.ResponseError) bool {
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusNetworkAuthenticationRequired:
		return true
	}
	return isSpoilt(e) || e.StatusCode/100 == 3 && e.StatusCode != http.StatusNotModified || // a portal is in between
		bloberror.HasCode(e, bloberror.ContainerBeingDeleted, bloberror.AccountBeingCreated)
}

// isSpoilt tells that the service got other bytes than were sent.
func isSpoilt(err error) bool {
	return bloberror.HasCode(err, bloberror.MD5Mismatch, bloberror.CRC64Mismatch)
}

// exists tells that an object is there: in the words of all the ways in which it can keep another from being created.
func exists(err error) bool {
	return bloberror.HasCode(err, bloberror.BlobAlreadyExists, bloberror.ConditionNotMet, bloberror.LeaseIDMissing, // it is there, and leased
		bloberror.BlobImmutableDueToPolicy, bloberror.BlobArchived, bloberror.BlobBeingRehydrated, bloberror.UnauthorizedBlobOverwrite)
}

func missing(err error) bool {
	return bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ResourceNotFound)
}

// forbidden tells that the credential doesn't suffice.
func forbidden(err error) bool {
	var answer *azcore.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden
}

func isPastEnd(err error) bool { return bloberror.HasCode(err, bloberror.InvalidRange) }

// known turns what the service answered into the errors of vault.Store; others become what people can read, without secrets.
func (s *Store) known(op, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*fs.PathError)): // a name that isn't one
		return err
	case missing(err):
		err = fs.ErrNotExist
	case bloberror.HasCode(err, bloberror.BlobArchived, bloberror.BlobBeingRehydrated):
		err = &ArchivedError{name, bloberror.HasCode(err, bloberror.BlobBeingRehydrated)}
	default:
		err = s.explain(err)
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// explain makes an error fit for people.
func (s *Store) explain(err error) error {
	var answer *azcore.ResponseError
	switch {
	case errors.As(err, new(bodyError)), !errors.As(err, &answer):
		return scrub(err)
	case answer.ErrorCode == string(bloberror.ContainerNotFound):
		return fmt.Errorf("%w as %s in account %s", ErrNoContainer, s.address.Container, s.address.Account)
	}
	e := refused(answer)
	if e.denied() {
		e.Why = s.why(answer)
	}
	return e
}

func refused(answer *azcore.ResponseError) *RefusedError {
	e := &RefusedError{Status: answer.StatusCode, Code: answer.ErrorCode}
	if answer.RawResponse != nil {
		e.RequestID = answer.RawResponse.Header.Get("x-ms-request-id")
	}
	return e
}

// scrub removes from an error what may hold a signature: the URL of the request, and what the service makes of it.
func scrub(err error) error {
	var body bodyError
	var answer *azcore.ResponseError
	var transport *url.Error
	switch {
	case errors.As(err, &body):
		return body.error
	case errors.As(err, &answer):
		return refused(answer)
	case errors.As(err, &transport):
		return transport.Err
	}
	return err
}

// skew is by how much clocks may differ; the service allows a quarter of an hour.
const skew = 10 * time.Minute

// why tells what may be wrong with permissions.
func (s *Store) why(answer *azcore.ResponseError) string {
	switch {
	case answer.ErrorCode == string(bloberror.BlobImmutableDueToPolicy):
		return "a policy or a legal hold of the container keeps it"
	case answer.RawResponse != nil:
		date, err := http.ParseTime(answer.RawResponse.Header.Get("Date"))
		if d := time.Since(date).Round(time.Minute); err == nil && d.Abs() > skew {
			return fmt.Sprintf("the clock of this machine is %v off the service's", d)
		}
	}
	return s.denied(time.Now())
}

// retryAfter is how long the service wants to be left alone; 0 when it doesn't say.
func retryAfter(err error) time.Duration {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) || answer.RawResponse == nil {
		return 0
	}
	header := answer.RawResponse.Header
	for name, unit := range map[string]time.Duration{"retry-after-ms": time.Millisecond, "x-ms-retry-after-ms": time.Millisecond, "Retry-After": time.Second} {
		if n, err := strconv.Atoi(header.Get(name)); err == nil && n > 0 {
			return time.Duration(n) * unit
		}
	}
	if date, err := http.ParseTime(header.Get("Retry-After")); err == nil {
		return max(time.Until(date), 0)
	}
	return 0
}
