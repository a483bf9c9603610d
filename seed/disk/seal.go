package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"waybill/manifest"
)

// ErrMedium says that a disk does not give back what was written to it.
var ErrMedium = errors.New("the disk does not give back what was written to it")

// Seal makes a disk ready to travel: it reads every pack back from the medium and compares
// it with its name, writes README.txt and SHA256SUMS, and sets the label's state last. Read, if not nil,
// counts the bytes that were read. Sealing a sealed disk checks it once more.
func (d *Disk) Seal(ctx context.Context, key manifest.PublicKey, disks int, host string, now time.Time, read *atomic.Int64) error {
	l := d.label
	l.Disks, l.Host, l.Time, l.Packs, l.Bytes = disks, host, now.UTC().Truncate(time.Second), 0, 0
	var last string // the newest manifest's name
	err := d.List(ctx, manifest.ManifestsPrefix(l.Machine), func(name string, _ int64) error {
		if _, _, ok := manifest.ParseManifestName(name); ok {
			last = name
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sealing disk %d: %w", l.Disk, err)
	}
	if err := d.Replace(ReadmeName, readme(l, key, last, d.signatureOf(ctx, last))); err != nil {
		return fmt.Errorf("sealing disk %d: %w", l.Disk, err)
	}
	var sums bytes.Buffer
	err = d.List(ctx, "", func(name string, size int64) error {
		if name == LabelName || name == SumsName {
			return nil
		}
		sum, err := d.sum(ctx, name, read)
		if err != nil {
			return err
		}
		if _, digest, ok := manifest.ParsePackName(name); ok {
			if sum != digest {
				return fmt.Errorf("%s: %w", name, ErrMedium)
			}
			l.Packs++
			l.Bytes += size
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, name)
		return nil
	})
	if err != nil {
		return fmt.Errorf("sealing disk %d: %w", l.Disk, err)
	}
	if err := d.Replace(SumsName, sums.Bytes()); err != nil {
		return fmt.Errorf("sealing disk %d: %w", l.Disk, err)
	}
	l.State = Sealed
	return d.SetLabel(l)
}

// sum hashes a file as it is on the medium, as far as the system lets its cache be passed by.
func (d *Disk) sum(ctx context.Context, name string, read *atomic.Int64) (manifest.Digest, error) {
	f, err := os.Open(filepath.Join(d.Path(), filepath.FromSlash(name)))
	if err != nil {
		return manifest.Digest{}, err
	}
	defer f.Close()
	dropCache(f)
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if read != nil {
			read.Add(int64(n))
		}
		if errors.Is(err, io.EOF) {
			return manifest.Digest(h.Sum(nil)), nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return manifest.Digest{}, err
		}
	}
}

// signatureOf is the name of the signature that belongs to a manifest.
func (d *Disk) signatureOf(ctx context.Context, name string) string {
	m, seq, ok := manifest.ParseManifestName(name)
	if !ok {
		return ""
	}
	b, err := manifest.ReadObject(ctx, d, name, manifest.MaxManifest)
	if err != nil {
		return ""
	}
	return manifest.SignatureName(m, seq, manifest.Sum(b))
}

// readme explains the disk to whoever finds it.
func readme(l Label, key manifest.PublicKey, last, signature string) []byte {
	of := ""
	if l.Disks > 0 {
		of = fmt.Sprintf(" of %d", l.Disks)
	}
	text := `This is disk {n}{of} of a Waybill seed: the first full backup of a machine, on
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

where the key should be the one that the machine's owner tells you.

TO IMPORT IT into the vault, which needs no key either:

   waybill-ingest --vault VAULT THIS-DIRECTORY

TO RESTORE from it, even without the vault: connect all disks of the set and run

   waybill restore latest --from THIS-DIRECTORY [--from ...] --to TARGET

with the passphrase or the recovery key. The format is documented byte by byte in
Waybill's manifest/FORMAT.md; it is made of SHA-256, age, AES-256-GCM, Zstandard and
BLAKE3, so it can be read without Waybill, too. The tree below this directory is
that of a vault: machines/<machine>/packs holds the data, .../manifests the lists.
`
	r := strings.NewReplacer("{n}", fmt.Sprint(l.Disk), "{of}", of, "{vault}", string(l.Vault), "{machine}", string(l.Machine),
		"{set}", string(l.Set), "{key}", string(key), "{manifest}", last, "{signature}", signature)
	return []byte(r.Replace(text))
}
