package azure

import (
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// A Credential opens accounts. One of its fields is set; none means what the environment gives a program of Azure's: a managed
// identity, a workload identity, or the login of the command line tool.
type Credential struct {
	SAS string // a shared access signature, without a question mark
	Key string // the account's, in base64
}

// client returns the container's.
func (c Credential) client(a Address) (*container.Client, error) {
	switch {
	case c.SAS != "":
		return container.NewClientWithNoCredential(a.containerURL()+"?"+strings.TrimPrefix(c.SAS, "?"), clientOptions())
	case c.Key != "":
		key, err := container.NewSharedKeyCredential(a.Account, c.Key)
		if err != nil {
			return nil, fmt.Errorf("the key of account %s is not base64", a.Account)
		}
		return container.NewClientWithSharedKeyCredential(a.containerURL(), key, clientOptions())
	}
	token, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: azcore.ClientOptions{}})
	if err != nil {
		return nil, err
	}
	return container.NewClient(a.containerURL(), token, clientOptions())
}
