// Package carrier reads the logs that a carrier writes about the files it took, and compares them with what was sent.
//
// [Read] takes Azure's XML logs: the bill of materials and error.xml of a Data Box, the copy logs and verbose logs of Data Box, Data Box Disk
// and Import/Export, their older drive logs, and the error log of Data Box Disk's validation tool. [Reconciliation] takes the
// packs of signed manifests, then the entries of any number of logs, and says of each pack whether it arrived, as it
// was sent, under another name, or not.
//
// The logs prove nothing: they are not signed, and their checksums, CRC-64 and MD5, are not cryptographic or are old. They tell where to look;
// whether a pack is whole, its SHA-256 tells alone. The package fetches nothing and changes nothing.
package carrier

import (
	"errors"
	"strings"

	"waybill/manifest"
)

// ErrLog says that something is no log that this package knows.
var ErrLog = errors.New("not a carrier's log")

// A Fate is what a log says of a file.
type Fate string

// The fates, from bad to good.
const (
	Failed   Fate = "failed"   // it did not arrive, or not whole
	Renamed  Fate = "renamed"  // it arrived under another name
	Arrived  Fate = "arrived"  // the carrier's cloud has it
	Loaded   Fate = "loaded"   // the carrier's device had it
	Unlisted Fate = "unlisted" // no log mentions it
)

// An Entry is what a log says of one file or, in renames, of one container.
type Entry struct {
	Path   string // as the log has it, with slashes
	Fate   Fate
	Reason string // of Failed and Renamed: the carrier's code and words
	NewTo  string // of Renamed: the new name, if the log tells
	Whole  bool   // it is about everything in a container

	Size  int64 // -1 when the log doesn't tell
	CRC64 uint64
	MD5   [16]byte
	Sums  Sums // which of the checksums the log has
}

// Sums says which checksums an entry has.
type Sums uint8

// The checksums.
const (
	HasCRC64 Sums = 1 << iota
	HasMD5
)

// packOf finds the pack that a log's path means: whatever container or directory it is in. The logs of a device begin with a
// backslash, those of the cloud with the container.
func packOf(path string) (m manifest.ID, d manifest.Digest, ok bool) {
	i := strings.LastIndex(path, "machines/")
	if i < 0 || i > 0 && path[i-1] != '/' {
		return "", manifest.Digest{}, false
	}
	return manifest.ParsePackName(path[i:])
}

// ours tells whether a path may be of a tree of ours.
func ours(path string) bool {
	for _, part := range []string{"machines/", "keys/", "waybill.json", manifest.VaultName, "label.json", "SHA256SUMS"} {
		if i := strings.LastIndex(path, part); i == 0 || i > 0 && path[i-1] == '/' {
			return true
		}
	}
	return false
}
