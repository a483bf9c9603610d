package disk

import (
	"fmt"
	"strings"

	"waybill/manifest"
)

// readmeText explains the disk to whoever finds it.
const readmeText = `This is disk {n} of {of} of a Waybill seed: the first full backup of a machine, on
its way to the vault where the machine's later backups are kept. Everything on
it that came from the machine is encrypted. Nobody can read it without the
vault's passphrase or its recovery key, so it is of no use to a finder.

   vault    {vault}
   machine  {machine}
   set      {set}

IF YOU HAVE FOUND IT, please return it to the sender on the parcel.

TO CHECK IT, no key is needed. In this directory:

   sha256sum -c --quiet SHA256SUMS

says nothing when every file is as it was written. That the list of packs was
written by the machine, and by nobody on the way, is checked with

   minisign -V -P {key} \
     -m {manifest} \
     -x {signature}

where the key should be the one that the machine's owner tells you. Each
manifest names the one before it by its SHA-256, so the newest vouches for all.

TO IMPORT IT into the vault, which needs no key either:

   waybill-ingest --vault VAULT THIS-DIRECTORY

Bad sectors and lost files need not be the end: the files under parity/ mend what
is damaged as far as they can, and a parity disk of the set makes up for a whole
lost one. Whether this disk is whole, repairable, or needs another, tells

   waybill-ingest verify THIS-DIRECTORY

TO RESTORE from it, even without the vault: connect all disks of the set and run

   waybill restore latest --from THIS-DIRECTORY [--from ...] --to TARGET

with the passphrase or the recovery key. The format is documented byte by byte in
Waybill's manifest/FORMAT.md; it is made of SHA-256, age, AES-256-GCM, Zstandard and
BLAKE3, so it can be read without Waybill, too. The tree below this directory is
that of a vault: machines/<machine>/packs holds the data, .../manifests the lists.
`

// readme is README.txt of a disk whose newest commit is last.
func readme(l Label, key manifest.PublicKey, last *manifest.Link) []byte {
	seq := last.Manifest.Sequence
	return []byte(strings.NewReplacer(
		"{n}", fmt.Sprint(l.Disk), "{of}", fmt.Sprint(l.Disks),
		"{vault}", string(l.Vault), "{machine}", string(l.Machine), "{set}", string(l.Set), "{key}", string(key),
		"{manifest}", manifest.ManifestName(l.Machine, seq),
		"{signature}", manifest.SignatureName(l.Machine, seq, last.Digest),
	).Replace(readmeText))
}
