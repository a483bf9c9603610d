package manifest

import (
	"fmt"
	"strings"
)

// Names in the tree, see FORMAT.md section 1.
const (
	VaultName      = "waybill.json"
	RecoveryName   = "keys/recovery.json"
	ReceiptKeyName = "keys/receipts.key"
)

// MachinePrefix is where everything of a machine is.
func MachinePrefix(m ID) string { return "machines/" + string(m) + "/" }

// MachineName is a machine's public document.
func MachineName(m ID) string { return MachinePrefix(m) + "machine.json" }

// MachineSignatureName is its signature.
func MachineSignatureName(m ID) string { return MachinePrefix(m) + "machine.minisig" }

// MachineKeyName is a machine's wrapped secrets.
func MachineKeyName(m ID) string { return "keys/" + string(m) + ".age" }

// PacksPrefix is where a machine's packs are.
func PacksPrefix(m ID) string { return MachinePrefix(m) + "packs/" }

// PackName is a pack.
func PackName(m ID, d Digest) string {
	h := d.String()
	return PacksPrefix(m) + h[:2] + "/" + h
}

// ManifestsPrefix is where a machine's manifests are.
func ManifestsPrefix(m ID) string { return MachinePrefix(m) + "manifests/" }

// ManifestName is the manifest of a sequence number.
func ManifestName(m ID, seq int) string { return fmt.Sprintf("%s%08d.json", ManifestsPrefix(m), seq) }

// SignatureName is the signature of the manifest with that digest.
func SignatureName(m ID, seq int, d Digest) string {
	return fmt.Sprintf("%s%08d-%.16s.minisig", ManifestsPrefix(m), seq, d)
}

// ReceiptsPrefix is where the receipts for a machine are.
func ReceiptsPrefix(m ID) string { return MachinePrefix(m) + "receipts/" }

// ReceiptName is a receipt, by the digest of its bytes.
func ReceiptName(m ID, d Digest) string { return fmt.Sprintf("%s%.32s.json", ReceiptsPrefix(m), d) }

// ReceiptSignatureName is a receipt's signature.
func ReceiptSignatureName(m ID, d Digest) string {
	return fmt.Sprintf("%s%.32s.minisig", ReceiptsPrefix(m), d)
}

// ParsePackName tells whose pack a name is; false for any other name.
func ParsePackName(name string) (m ID, d Digest, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 5 {
		return "", d, false
	}
	m, errM := ParseID(parts[1])
	d, errD := ParseDigest(parts[4])
	return m, d, errM == nil && errD == nil && name == PackName(m, d)
}

// ParseManifestName tells whose manifest a name is, and its sequence number; false for any other name.
func ParseManifestName(name string) (m ID, seq int, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 {
		return "", 0, false
	}
	m, err := ParseID(parts[1])
	if err != nil {
		return "", 0, false
	}
	if _, err := fmt.Sscanf(parts[3], "%08d.json", &seq); err != nil || seq < 1 || name != ManifestName(m, seq) {
		return "", 0, false
	}
	return m, seq, true
}
