package carrier

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"waybill/manifest"
)

// A Reconciliation compares logs with packs. Say what was sent with Expect, then hand it all logs' entries with Add. It is for one goroutine.
type Reconciliation struct {
	packs     map[string]*Pack
	mentioned map[manifest.ID]bool // sets
	others    []Entry              // not packs, and worth telling
	more      int64                // others beyond those that are kept
	copyLogs  bool                 // a log tells what did not arrive
}

// A Pack is a pack that was sent, and what became of it.
type Pack struct {
	Machine, Set manifest.ID
	manifest.Pack
	Fate   Fate
	Reason string // of Failed and Renamed
	Path   string // in the carrier's words; empty when no log mentions it
	NewTo  string // of Renamed, if the log tells
}

// A Result is what became of everything.
type Result struct {
	Packs  []Pack  // ascending by name: of the sets that the logs mention; of all when they mention none
	Others []Entry // files of the tree that are no packs, and containers, that failed or were renamed
	More   int64   // such entries beyond those
}

// maxOthers is how many entries are kept that are about no pack. A hostile log has many.
const maxOthers = 10_000

// New returns a reconciliation that expects nothing.
func New() *Reconciliation {
	return &Reconciliation{packs: map[string]*Pack{}, mentioned: map[manifest.ID]bool{}}
}

// Expect adds a pack that was sent on a disk of a set.
func (r *Reconciliation) Expect(m, set manifest.ID, p manifest.Pack) {
	r.packs[manifest.PackName(m, p.Name)] = &Pack{Machine: m, Set: set, Pack: p, Fate: Unlisted}
}

// Add takes an entry of a log into account. Where logs differ, the worst counts.
func (r *Reconciliation) Add(e Entry) error {
	m, d, ok := packOf(e.Path)
	var p *Pack
	if ok {
		p = r.packs[manifest.PackName(m, d)]
	}
	if p == nil {
		if (e.Fate == Failed || e.Fate == Renamed) && (e.Whole || ours(e.Path)) {
			r.other(e)
		}
		return nil
	}
	r.mentioned[p.Set] = true
	if reason := differs(&p.Pack, &e); reason != "" {
		e.Fate, e.Reason = Failed, reason
	}
	if rank(e.Fate) < rank(p.Fate) {
		p.Fate, p.Reason, p.Path, p.NewTo = e.Fate, e.Reason, e.Path, e.NewTo
	}
	return nil
}

// Close takes what a log says about itself into account. A copy log lists what went wrong: what a device had loaded and no copy log
// complains of has arrived.
func (r *Reconciliation) Close(s Summary) {
	if s.Kind == "copy log" && s.Status != "" {
		r.copyLogs = true
	}
}

func (r *Reconciliation) other(e Entry) {
	if len(r.others) < maxOthers {
		r.others = append(r.others, e)
	} else {
		r.more++
	}
}

// rank orders fates from bad to good, and from certain to uncertain.
func rank(f Fate) int { return slices.Index([]Fate{Failed, Renamed, Arrived, Loaded, Unlisted}, f) }

// differs compares what a log says of a pack with its manifest. Azure's CRC-64 is the manifest's, CRC-64/NVME; it is written as a number, but some
// tools write its bytes from the lowest up, and no mistake in data turns one into the other.
func differs(p *manifest.Pack, e *Entry) string {
	switch {
	case e.Size >= 0 && e.Size != p.Size:
		return fmt.Sprintf("it has %d bytes there, it should have %d", e.Size, p.Size)
	case e.Sums&HasCRC64 != 0 && e.CRC64 != p.CRC64 && bits.ReverseBytes64(e.CRC64) != p.CRC64:
		return fmt.Sprintf("its CRC-64 is %016x there, it should be %016x", e.CRC64, p.CRC64)
	case e.Sums&HasMD5 != 0 && e.MD5 != p.MD5:
		return fmt.Sprintf("its MD5 is %x there, it should be %x", e.MD5, p.MD5)
	}
	return ""
}

// Result is what the logs say of everything that was sent.
func (r *Reconciliation) Result() Result {
	out := Result{Others: r.others, More: r.more}
	for _, p := range r.packs {
		if len(r.mentioned) > 0 && !r.mentioned[p.Set] {
			continue
		}
		if p.Fate == Loaded && r.copyLogs {
			p.Fate = Arrived
			r.container(p)
		}
		out.Packs = append(out.Packs, *p)
	}
	slices.SortFunc(out.Packs, func(a, b Pack) int {
		return cmp.Or(cmp.Compare(a.Machine, b.Machine), slices.Compare(a.Name[:], b.Name[:]))
	})
	return out
}

// container gives a pack the fate of the container it was in, where a log tells of that.
func (r *Reconciliation) container(p *Pack) {
	for _, e := range r.others {
		if !e.Whole || !strings.Contains("/"+p.Path, "/"+strings.Trim(e.Path, "/")+"/") {
			continue
		}
		p.Fate, p.Reason = e.Fate, e.Reason
		if e.NewTo != "" {
			_, rest, _ := strings.Cut("/"+p.Path, "/"+strings.Trim(e.Path, "/")+"/")
			p.NewTo = e.NewTo + "/" + rest
		}
	}
}
