package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"waybill/manifest"
)

// receipt writes down what the import came to.
func (j *job) receipt(ctx context.Context) error {
	r, err := j.account()
	if err != nil {
		return fmt.Errorf("writing the receipt: %w", err)
	}
	return j.settle(ctx, r)
}

// A signedReceipt is one as the vault keeps it.
type signedReceipt struct {
	Body, Signature []byte
}

// settle puts a receipt into the vault, the signature first, and finishes what was done by it.
func (j *job) settle(ctx context.Context, s signedReceipt) error {
	r, err := manifest.ParseReceipt(s.Body)
	if err == nil {
		err = j.put(ctx, manifest.ReceiptSignatureName(r.Machine, manifest.Sum(s.Body)), s.Signature)
	}
	if err == nil {
		j.done.ReceiptName = manifest.ReceiptName(r.Machine, manifest.Sum(s.Body))
		err = j.put(ctx, j.done.ReceiptName, s.Body)
	}
	if err != nil {
		j.done.ReceiptName = ""
		return fmt.Errorf("writing the receipt: %w", err)
	}
	j.done.Receipt = *r
	j.mend()
	return nil
}

// account is the receipt of what was done, signed with the vault's key.
func (j *job) account() (s signedReceipt, err error) {
	r := manifest.Receipt{Vault: j.doc.Vault, Machine: j.machine.Machine, Set: j.set(), Time: j.opts.Now().UTC().Truncate(time.Second), Host: j.opts.Host, Tool: j.opts.Tool}
	for _, l := range j.links {
		r.Manifests = append(r.Manifests, manifest.Covered{Sequence: l.Manifest.Sequence, Digest: l.Digest})
	}
	for _, w := range j.wants {
		if len(j.links) == 0 || w.commit > j.links[len(j.links)-1].Manifest.Sequence {
			continue // its commit could not be imported
		}
		switch w.state {
		case present:
			r.Present++
		case imported:
			r.Verified++
			r.Imported++
			r.Bytes += w.Size
		case rebuilt:
			r.Verified++
			r.Imported++
			r.Repaired++
			r.Bytes += w.Size
		case adopted:
			r.Verified++
			r.Present++
		case missing:
			if j.lost[w.Name] {
				continue
			}
			reason := manifest.Absent
			if w.damaged {
				reason = manifest.DamagedPack
			}
			if w.spoiled {
				reason = manifest.Spoiled
			}
			r.Missing = append(r.Missing, manifest.WantPack{Name: w.Name, Size: w.Size, Disk: w.Disk, Reason: reason})
		}
	}
	slices.SortFunc(r.Missing, func(a, b manifest.WantPack) int { return slices.Compare(a.Name[:], b.Name[:]) })
	if r.Set != "" {
		r.Arrived, r.Custody = j.arrived(), j.heads()
	}
	if s.Body, err = r.Encode(); err == nil {
		s.Signature, err = j.signer.Sign(s.Body)
	}
	return s, err
}

// mend marks the damage to packs that the vault has all the same.
func (j *job) mend() {
	bad := map[string]bool{}
	for _, w := range j.wants {
		if w.state == missing && !j.lost[w.Name] {
			bad[manifest.PackName(j.machine.Machine, w.Name)] = true
		}
	}
	for i, d := range j.done.Damaged {
		j.done.Damaged[i].Mended = !bad[d.Name]
	}
}
