package azure

import (
	"context"
	"net"
	"net/http"
	"time"
)

// The times that a connection gets. A line that passes nothing for so long in either direction is broken, whatever the system thinks of it: nobody
// tells when a machine has slept, or its address has changed.
const (
	dialTime = 20 * time.Second
	stall    = 2 * time.Minute
)

// newClient returns connections of a store's own.
func newClient() *http.Client {
	d := &net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return conn{c}, nil
		},
		TLSHandshakeTimeout:   dialTime,
		ExpectContinueTimeout: 2 * time.Second, // the SDK asks before it sends, for a while after the service was busy
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   64,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        32 << 10,
		DisableCompression:    true,
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// A conn breaks when nothing moves. While bytes go out, an answer isn't due.
type conn struct{ net.Conn }

func (c conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c conn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
