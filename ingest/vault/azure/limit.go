package azure

import (
	"context"
	"io"
	"net/http"

	"waybill/ingest/vault"
)

// A Transport is how requests travel.
type Transport interface {
	Do(*http.Request) (*http.Response, error)
}

// limited is a transport that sends and receives bodies no faster than limiters allow. It sits here, and not around the store, so that what is sent
// again counts again, and what is read for its checksum doesn't.
type limited struct {
	Transport
	up, down vault.Limiter // nil: no limit
}

// Do implements Transport.
func (l limited) Do(r *http.Request) (*http.Response, error) {
	if l.up != nil && r.Body != nil {
		r.Body = limitedBody{r.Context(), r.Body, l.up}
	}
	answer, err := l.Transport.Do(r)
	if err == nil && l.down != nil {
		answer.Body = limitedBody{r.Context(), answer.Body, l.down}
	}
	return answer, err
}

type limitedBody struct {
	ctx context.Context
	io.ReadCloser
	limiter vault.Limiter
}

// portion is the most that is waited for at once, so that the traffic is even.
const portion = 32 << 10

// Read implements io.Reader.
func (b limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), portion)])
	if werr := b.limiter.Wait(b.ctx, n); werr != nil {
		return 0, werr
	}
	return n, err
}

// begin waits until an object may be sent.
func (s *Store) begin(ctx context.Context) (end func(), err error) {
	if s.opts.Up == nil {
		return func() {}, nil
	}
	return s.opts.Up.Begin(ctx)
}
