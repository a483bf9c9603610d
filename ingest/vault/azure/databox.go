package azure

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// A Data Box serves the newest of these versions of the protocol: no access tiers, nothing that the service fetches by itself, and 256 MiB at most in one request.
const (
	dataBoxHost    = ".microsoftdatabox.com"
	dataBoxVersion = "2019-02-02"
)

// dataBox tells the blob endpoint of a device from that of a storage account.
func (a Address) dataBox() bool {
	u, err := url.Parse(a.service())
	return err == nil && strings.HasSuffix(strings.ToLower(u.Hostname()), dataBoxHost)
}

// A speaks policy has requests made in a version of the protocol.
type speaks string

// Do implements policy.Policy.
func (version speaks) Do(r *policy.Request) (*http.Response, error) {
	r.Raw().Header["x-ms-version"] = []string{string(version)} // spelt as the SDK does, or there would be two
	return r.Next()
}
