package azure

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"waybill/internal/azurite"
)

// A device's endpoint is known by its name, and spoken to in the version it knows.
func TestDataBoxVersion(t *testing.T) {
	server.Start(t)
	at, err := url.Parse(strings.TrimSuffix(server.Endpoint, "/"+azurite.Account))
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]int{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(at) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		versions[r.Header.Get("X-Ms-Version")]++
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()
	a := Address{Account: azurite.Account, Container: azurite.Name(), Endpoint: "http://acct.blob.b1234.microsoftdatabox.com/" + azurite.Account}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { // whatever its name
		return new(net.Dialer).DialContext(ctx, network, front.Listener.Addr().String())
	}
	o := Options{Transport: &http.Client{Transport: transport}}
	if err := Create(t.Context(), a, Credential{Key: azurite.Key}, o); err != nil {
		t.Fatal(err)
	}
	s, err := Open(a, Credential{Key: azurite.Key}, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a/b", bytes.NewReader([]byte("hello"))); err != nil {
		t.Fatal(err)
	}
	if err := s.PutOver(t.Context(), "a/b", bytes.NewReader([]byte("world"))); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Size(t.Context(), "a/b"); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if len(versions) != 1 || versions[dataBoxVersion] == 0 {
		t.Errorf("requests by version: %v", versions)
	}
	if (Address{Account: "x"}).dataBox() {
		t.Error("a storage account is taken for a device")
	}
}
