package azure

import (
	"fmt"
	"net/url"
	"strings"
)

// ParseSecret finds in a text, of a secret a line, the first that fits an address: the URL of a SAS or a connection string of that account, or
// a bare SAS or key. Its errors don't repeat any of it.
func ParseSecret(text string, a Address) (Credential, error) {
	var elsewhere string
	for line := range strings.Lines(text) {
		c, ok := parseLine(strings.TrimSpace(line), a)
		if !ok {
			continue
		}
		if at := endpointOf(line); a.Endpoint == "" && at != "" && at != a.service() {
			elsewhere = at
			continue
		}
		return c, nil
	}
	if elsewhere != "" {
		return Credential{}, fmt.Errorf("its connection string is for %s: the address needs ?endpoint=%s then", elsewhere, elsewhere)
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
	fields := fieldsOf(line)
	c := Credential{Key: fields["AccountKey"], SAS: strings.TrimPrefix(fields["SharedAccessSignature"], "?")}
	name, endpoint := fields["AccountName"], fields["BlobEndpoint"]
	if u, err := url.Parse(endpoint); name == "" && err == nil { // with a SAS only the endpoint says whose it is
		name, _, _ = strings.Cut(u.Host, ".")
	}
	return c, name == a.Account && (c.Key != "" || c.SAS != "")
}

func fieldsOf(connection string) map[string]string {
	fields := map[string]string{}
	for field := range strings.SplitSeq(connection, ";") {
		name, value, _ := strings.Cut(field, "=")
		fields[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return fields
}

// endpointOf is the blob service that a connection string names; empty for other secrets, and when it says nothing of it.
func endpointOf(line string) string {
	fields := fieldsOf(line)
	if at, err := url.Parse(fields["BlobEndpoint"]); err == nil && at.Host != "" {
		return strings.TrimSuffix(at.Scheme+"://"+at.Host+at.Path, "/")
	}
	if suffix := fields["EndpointSuffix"]; suffix != "" && fields["AccountName"] != "" {
		return "https://" + fields["AccountName"] + ".blob." + suffix
	}
	return ""
}
