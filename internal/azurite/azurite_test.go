package azurite

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRuns(t *testing.T) {
	var s Server
	s.Start(t)
	defer s.Stop()
	r, err := http.Get(s.Endpoint + "/" + Name() + "?restype=container")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger's question: %s %v %.300s", r.Status, err, body)
	}
	if !strings.Contains(r.Header.Get("Server"), "Azurite") {
		t.Errorf("it is served by %q", r.Header.Get("Server"))
	}
}
