package azure

import (
	"fmt"
	"net/url"
	"strings"
)

// ParseSecret finds in a text, of a secret a line, the first that fits an address: the URL of a SAS or a connection string of that account, or
// a bare SAS or key. Its errors don't repeat any of it.
func ParseSecret(text string, a Address) (Credential, error) {
	for line := range strings.Lines(text) {
		if c, ok := parseLine(strings.TrimSpace(line), a); ok {
			return c, nil
		}
	}
	return Credential{}, fmt.Errorf("none of it is for container %s of account %s", a.Container, a.Account)
}

func parseLine(line string, a Address) (Credential, bool) {
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
		return Credential{}, false
	case strings.HasPrefix(line, "https://") || strings.HasPrefix(line, "http://"):
		return parseURL(line, a)
	case strings.Contains(line, "AccountName=") || strings.Contains(line, "SharedAccessSignature="):
		return parseConnection(line, a)
	case strings.Contains(line, "sig="):
		return Credential{SAS: strings.TrimPrefix(line, "?")}, true
	}
	return Credential{Key: line}, !strings.ContainsAny(line, " &?;")
}

// parseURL takes the SAS of a URL of the account, or of the container.
func parseURL(line string, a Address) (Credential, bool) {
	base, sas, ok := strings.Cut(line, "?")
	base = strings.TrimSuffix(base, "/")
	return Credential{SAS: sas}, ok && strings.Contains(sas, "sig=") && (base == a.service() || base == a.containerURL() || strings.HasPrefix(base, a.containerURL()+"/"))
}

// parseConnection takes the key or the SAS of a connection string.
func parseConnection(line string, a Address) (Credential, bool) {
	fields := map[string]string{}
	for field := range strings.SplitSeq(line, ";") {
		name, value, _ := strings.Cut(field, "=")
		fields[strings.TrimSpace(name)] = value
	}
	c := Credential{Key: fields["AccountKey"], SAS: strings.TrimPrefix(fields["SharedAccessSignature"], "?")}
	name, endpoint := fields["AccountName"], fields["BlobEndpoint"]
	if u, err := url.Parse(endpoint); name == "" && err == nil { // with a SAS only the endpoint says whose it is
		name, _, _ = strings.Cut(u.Host, ".")
	}
	return c, name == a.Account && (c.Key != "" || c.SAS != "")
}
