package plan

import (
	"encoding/binary"
	"math/rand/v2"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/internal/source"
	"waybill/manifest"
)

// Entries of the catalogue are sampled like content: runs of entries that lie together, a random few of them encoded.
type entries struct {
	random *rand.Rand
	n      int64    // entries so far
	kept   [][]byte // encoded runs
	counts []int64  // of the entries in them
	now    int      // which run the current one is; -1 when it isn't kept
}

const (
	keptRuns = 64
	runSize  = 512
	fewItems = 8          // chunks that an entry lists itself
	refSize  = 36         // bytes of the catalogue for each chunk of a larger file
	dirSize  = 19 + 1 + 4 // bytes of a node and of its line in the pack's table
)

// chunksOf is how many chunks a file of that size has, about.
func chunksOf(size int64) int64 { return max((size+48<<10-1)/(64<<10), min(size, 1)) }

func (e *entries) add(st *source.Stat, name []byte) {
	if e.n%runSize == 0 {
		e.next()
	}
	e.n++
	if e.now < 0 {
		return
	}
	b := e.entry(st, name).Append(nil)
	e.kept[e.now] = append(binary.AppendUvarint(e.kept[e.now], uint64(len(b))), b...)
	e.counts[e.now]++
}

// next begins a run.
func (e *entries) next() {
	run := int(e.n / runSize)
	switch i := e.random.IntN(run + 1); {
	case run < keptRuns:
		e.now = run
		e.kept, e.counts = append(e.kept, nil), append(e.counts, 0)
	case i < keptRuns:
		e.now = i
		e.kept[i], e.counts[i] = nil, 0
	default:
		e.now = -1
	}
}

// entry is as the engine makes it, with ids that are as random as hashes.
func (e *entries) entry(st *source.Stat, name []byte) *catalog.Entry {
	c := &catalog.Entry{Kind: catalog.Kind(st.Kind), Name: name, Inode: st.Inode, Mode: st.Mode, UID: st.UID, GID: st.GID, Size: st.Size,
		Mtime: catalog.Time{Sec: st.MtimeSec, Nsec: st.MtimeNsec}, Ctime: catalog.Time{Sec: st.CtimeSec, Nsec: st.CtimeNsec}}
	switch n := chunksOf(st.Size); {
	case st.Kind == source.Symlink:
		c.Target = make([]byte, st.Size)
		for i := range c.Target {
			c.Target[i] = 'a' + byte(e.random.IntN(8))
		}
	case st.Kind == source.Directory || st.Kind == source.Regular && n > fewItems:
		e.fill(&c.Node)
	case st.Kind == source.Regular && n > 0:
		for range n {
			var id pack.ID
			e.fill(&id)
			c.Content = append(binary.AppendUvarint(c.Content, uint64(st.Size/n)<<1), id[:]...)
		}
	}
	return c
}

func (e *entries) fill(id *pack.ID) {
	for at := 0; at < len(id); at += 8 {
		binary.LittleEndian.PutUint64(id[at:], e.random.Uint64())
	}
}

// catalogue is how many bytes the catalogue of the stratum takes.
func (s *stratum) catalogue(m *meter) (float64, error) {
	var encoded []byte
	var sampled, stored int64
	for i, run := range s.entries.kept {
		encoded = append(encoded, run...)
		sampled += s.entries.counts[i]
	}
	for size := pack.FrameSize(manifest.Catalogue); len(encoded) > 0; {
		n, err := m.pack.Frame(encoded[:min(size, len(encoded))], nil)
		if err != nil {
			return 0, err
		}
		stored += n
		encoded = encoded[min(size, len(encoded)):]
	}
	perEntry := float64(stored) / float64(max(sampled, 1))
	return perEntry*float64(s.entries.n) + float64(s.refs*refSize+s.dirs*dirSize), nil
}
