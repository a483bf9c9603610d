package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"waybill/manifest"
)

// receipt writes down what the import came to, signed with the vault's key: the signature first.
func (j *job) receipt(ctx context.Context) error {
	r := manifest.Receipt{Vault: j.doc.Vault, Machine: j.machine.Machine, Set: j.set(), Time: j.opts.Now().UTC().Truncate(time.Second), Host: j.opts.Host, Tool: j.opts.Tool}
	for _, l := range j.links {
		r.Manifests = append(r.Manifests, manifest.Covered{Sequence: l.Manifest.Sequence, Digest: l.Digest})
	}
	for _, w := range j.wants {
		switch w.state {
		case present:
			r.Present++
		case imported:
			r.Verified++
			r.Imported++
			r.Bytes += w.Size
		case missing:
			reason := manifest.Absent
			if w.damaged {
				reason = manifest.DamagedPack
			}
			r.Missing = append(r.Missing, manifest.WantPack{Name: w.Name, Size: w.Size, Disk: w.Disk, Reason: reason})
		}
	}
	slices.SortFunc(r.Missing, func(a, b manifest.WantPack) int { return slices.Compare(a.Name[:], b.Name[:]) })
	b, err := r.Encode()
	if err != nil {
		return fmt.Errorf("writing the receipt: %w", err)
	}
	sig, err := j.signer.Sign(b)
	digest := manifest.Sum(b)
	if err == nil {
		err = j.put(ctx, manifest.ReceiptSignatureName(r.Machine, digest), sig)
	}
	name := manifest.ReceiptName(r.Machine, digest)
	if err == nil {
		err = j.put(ctx, name, b)
	}
	if err != nil {
		return fmt.Errorf("writing the receipt: %w", err)
	}
	j.done.Receipt, j.done.ReceiptName = r, name
	return nil
}

// set is the disk set that was read, if it was one.
func (j *job) set() (set manifest.ID) {
	for i, t := range j.trees {
		if t.label == nil || i > 0 && t.label.Set != set {
			return ""
		}
		set = t.label.Set
	}
	return set
}
