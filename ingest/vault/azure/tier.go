package azure

import (
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

// A Tier is a price: the colder, the less it costs to keep data and the more to read it. What is in the archive must be brought back before it can be
// read, which takes hours. Data that is removed early costs as if it had stayed 30 days in cool, 90 in cold, 180 in the archive.
type Tier string

// The tiers.
const (
	Hot     Tier = "hot"
	Cool    Tier = "cool"
	Cold    Tier = "cold"
	Archive Tier = "archive"
)

// access is the service's name for a tier; nil for the account's default.
func (t Tier) access() *blob.AccessTier {
	switch t {
	case Hot:
		return to.Ptr(blob.AccessTierHot)
	case Cool:
		return to.Ptr(blob.AccessTierCool)
	case Cold:
		return to.Ptr(blob.AccessTierCold)
	case Archive:
		return to.Ptr(blob.AccessTierArchive)
	}
	return nil
}

// ParseTier reads a tier; empty is the account's default.
func ParseTier(text string) (Tier, error) {
	if t := Tier(text); t == "" || t.access() != nil {
		return t, nil
	}
	return "", fmt.Errorf("%q is no tier: hot, cool, cold or archive", text)
}
