package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Names in the tree: FORMAT.md, section 1.
const (
	VaultName      = "waybill.json"
	RecoveryName   = "keys/recovery.json"
	ReceiptKeyName = "keys/receipts.key" // in vaults only
	KeysPrefix     = "keys/"
)

// MachinePrefix is where everything of a machine is.
func MachinePrefix(m ID) string { return "machines/" + string(m) + "/" }

// MachineName is a machine's public document.
func MachineName(m ID) string { return MachinePrefix(m) + "machine.json" }

// MachineSignatureName is the signature of a machine's public document.
func MachineSignatureName(m ID) string { return MachinePrefix(m) + "machine.minisig" }

// MachineKeyName is a machine's secrets, sealed.
func MachineKeyName(m ID) string { return KeysPrefix + string(m) + ".age" }

// ParseMachineKeyName tells whose secrets a name is; false for any other name.
func ParseMachineKeyName(name string) (ID, bool) {
	m := ID(strings.TrimSuffix(strings.TrimPrefix(name, KeysPrefix), ".age"))
	return m, m.valid() && name == MachineKeyName(m)
}

// PacksPrefix is where a machine's packs are.
func PacksPrefix(m ID) string { return MachinePrefix(m) + "packs/" }

// PackName is the pack with that digest.
func PackName(m ID, d Digest) string {
	h := d.String()
	return PacksPrefix(m) + h[:2] + "/" + h
}

// ParsePackName tells whose pack a name is, and its digest; false for any other name.
func ParsePackName(name string) (m ID, d Digest, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 5 || !ID(parts[1]).valid() || !parseHex(d[:], parts[4]) {
		return "", Digest{}, false
	}
	m = ID(parts[1])
	return m, d, name == PackName(m, d)
}

// ManifestsPrefix is where a machine's manifests are.
func ManifestsPrefix(m ID) string { return MachinePrefix(m) + "manifests/" }

// ManifestName is the manifest of a sequence number.
func ManifestName(m ID, seq int) string { return fmt.Sprintf("%s%08d.json", ManifestsPrefix(m), seq) }

// ParseManifestName tells whose manifest a name is, and its sequence number; false for any other name.
func ParseManifestName(name string) (m ID, seq int, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || !ID(parts[1]).valid() {
		return "", 0, false
	}
	m = ID(parts[1])
	seq, err := strconv.Atoi(strings.TrimSuffix(parts[3], ".json"))
	return m, seq, err == nil && seq >= 1 && seq <= MaxSequence && name == ManifestName(m, seq)
}

// SignatureName is the signature of the manifest with that sequence number and digest.
func SignatureName(m ID, seq int, d Digest) string {
	return fmt.Sprintf("%s%08d-%.16s.minisig", ManifestsPrefix(m), seq, d)
}

// parseSignatureName tells which manifest of its machine a name is a signature of: sequence number, and the first bytes of
// the digest; false for any other name.
func parseSignatureName(name string) (seq int, d Digest, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || len(parts[3]) < len("00000001-0123456789abcdef") || !parseHex(d[:8], parts[3][9:25]) {
		return 0, Digest{}, false
	}
	seq, err := strconv.Atoi(parts[3][:8])
	return seq, d, err == nil && name == SignatureName(ID(parts[1]), seq, d)
}

// AccessPrefix is where that is which lets a machine into its vault.
func AccessPrefix(m ID) string { return MachinePrefix(m) + "access/" }

const accessTime = "20060102t150405z"

// AccessName is what lets a machine into its vault until it ends.
func AccessName(m ID, ends time.Time) string {
	return AccessPrefix(m) + ends.UTC().Format(accessTime) + ".age"
}

// ParseAccessName tells whose access a name is, and when it ends; false for any other name.
func ParseAccessName(name string) (m ID, ends time.Time, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || !ID(parts[1]).valid() {
		return "", time.Time{}, false
	}
	m = ID(parts[1])
	ends, err := time.Parse(accessTime, strings.TrimSuffix(parts[3], ".age"))
	return m, ends, err == nil && name == AccessName(m, ends)
}

// ReceiptsPrefix is where the receipts for a machine are.
func ReceiptsPrefix(m ID) string { return MachinePrefix(m) + "receipts/" }

// ReceiptName is a receipt, by the digest of its bytes.
func ReceiptName(m ID, d Digest) string { return fmt.Sprintf("%s%.32s.json", ReceiptsPrefix(m), d) }

// ReceiptSignatureName is the signature of the receipt with that digest.
func ReceiptSignatureName(m ID, d Digest) string {
	return fmt.Sprintf("%s%.32s.minisig", ReceiptsPrefix(m), d)
}

// CustodiesPrefix is where the custody logs of a machine's disks are.
func CustodiesPrefix(m ID) string { return MachinePrefix(m) + "custody/" }

// CustodyPrefix is where the custody log of a disk is.
func CustodyPrefix(m, set ID, disk int) string {
	return fmt.Sprintf("%s%s-%04d/", CustodiesPrefix(m), set, disk)
}

// DiskLabelName is the label of a sealed disk, beside its custody log.
func DiskLabelName(m, set ID, disk int) string { return CustodyPrefix(m, set, disk) + "label.json" }

// ParseDiskLabelName tells whether a name is that of a disk's label beside its custody log.
func ParseDiskLabelName(name string) bool {
	parts := strings.Split(name, "/")
	if len(parts) != 5 || !ID(parts[1]).valid() || len(parts[3]) != 36+len("-0001") || !ID(parts[3][:36]).valid() {
		return false
	}
	disk, err := strconv.Atoi(parts[3][37:])
	return err == nil && disk >= 1 && name == DiskLabelName(ID(parts[1]), ID(parts[3][:36]), disk)
}

// CustodyName is an entry of a disk's custody log, by machine, set, disk and number.
func CustodyName(c Custody) string {
	return fmt.Sprintf("%s%04d.json", CustodyPrefix(c.Machine, c.Set, c.Disk), c.Number)
}

// CustodySignatureName is the signature of an entry, by its digest beside.
func CustodySignatureName(c Custody) string {
	return fmt.Sprintf("%s%04d-%.16s.minisig", CustodyPrefix(c.Machine, c.Set, c.Disk), c.Number, c.Digest)
}

// ParseCustodyName tells which entry of which disk's log a name is: machine, set, disk and number; false for any other name.
func ParseCustodyName(name string) (c Custody, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 5 || len(parts[3]) != 36+len("-0001") || !ID(parts[1]).valid() || !ID(parts[3][:36]).valid() {
		return Custody{}, false
	}
	c.Machine, c.Set = ID(parts[1]), ID(parts[3][:36])
	var err1, err2 error
	c.Disk, err1 = strconv.Atoi(parts[3][37:])
	c.Number, err2 = strconv.Atoi(strings.TrimSuffix(parts[4], ".json"))
	if err1 != nil || err2 != nil || c.Disk < 1 || c.Number < 1 || c.Number > maxCustody || name != CustodyName(c) {
		return Custody{}, false
	}
	return c, true
}

// ParityPrefix is where the parity of a machine's disks is.
func ParityPrefix(m ID) string { return MachinePrefix(m) + "parity/" }

// ParityTableName is the table of a group of parity, which is named by 32 hex digits.
func ParityTableName(m ID, group string) string { return ParityPrefix(m) + group + ".table" }

// ParityShardName is a shard of a group of parity.
func ParityShardName(m ID, group string, shard int) string {
	return fmt.Sprintf("%s%s-%02d.shard", ParityPrefix(m), group, shard)
}

// ParseParityName tells whose parity a name is, of which group, and which shard it is, -1 for the table; false for any other name.
func ParseParityName(name string) (m ID, group string, shard int, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || !ID(parts[1]).valid() || len(parts[3]) < 32 || !parseHex(make([]byte, 16), parts[3][:32]) {
		return "", "", 0, false
	}
	m, group = ID(parts[1]), parts[3][:32]
	if name == ParityTableName(m, group) {
		return m, group, -1, true
	}
	shard, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(parts[3][32:], "-"), ".shard"))
	return m, group, shard, err == nil && shard >= 0 && name == ParityShardName(m, group, shard)
}
