package usn

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"waybill/incremental/journal"
)

// A model is a small volume in memory that writes the records which Windows would write. It is a Device.
type model struct {
	info   Info
	major  uint16
	log    []byte // from position 0; what is before info.First is zeroed
	nodes  map[ID]*node
	free   []uint64 // record numbers of files that are gone
	seq    map[uint64]uint16
	clock  uint64
	ranged bool

	readErr, queryErr, lookupErr error
	eachErr                      error
	onLookup                     func(n int) // called before each lookup, with how many there were
	lookups                      int
	onRead                       func()
}

type node struct {
	id      ID
	dir     bool
	names   []Name // one for a directory
	streams map[string]int
	data    int // counts changes of content that show in stat, and
	silent  int // those that don't
	meta    int
	open    bool
	usn     uint64 // of the last record
	reasons uint32
	ranges  []journal.Range // since it was opened
	changed []journal.Range // ever
}

func newModel(major uint16) *model {
	m := &model{major: major, nodes: map[ID]*node{}, seq: map[uint64]uint16{}, clock: 133_000_000_000_000_000}
	m.info = Info{Still: true, Volume: "0000000000c0ffee", ID: 7, Size: 1 << 20, Delta: 64 << 10, Wide: major > 2}
	root := m.node(true)
	root.names = []Name{{root.id, []byte(".")}}
	m.info.Root = root.id
	return m
}

func (m *model) node(dir bool) *node {
	var n uint64
	if len(m.free) > 0 {
		n, m.free = m.free[0], m.free[1:]
	} else {
		n = uint64(len(m.seq)) + 5
	}
	m.seq[n]++
	id := ID{Low: n | uint64(m.seq[n])<<48}
	if m.info.Wide && m.info.Root != (ID{}) {
		id.High = 0x700
	}
	x := &node{id: id, dir: dir, streams: map[string]int{}}
	m.nodes[id] = x
	return x
}

// Device.

func (m *model) Query() (Info, error) { return m.info, m.queryErr }
func (m *model) Close() error         { return nil }

func (m *model) Read(id, start uint64, buf []byte) (int, error) {
	if m.onRead != nil {
		m.onRead()
	}
	switch {
	case m.readErr != nil:
		return 0, m.readErr
	case id != m.info.ID:
		return 0, recreated()
	case start < m.info.First:
		return 0, errWrapped
	}
	at, n := start, 8
	for at+8 <= uint64(len(m.log)) {
		size := uint64(binary.LittleEndian.Uint32(m.log[at:]))
		if size == 0 {
			at = at&^(pageSize-1) + pageSize
			continue
		}
		if n+int(size) > len(buf) {
			break
		}
		n += copy(buf[n:], m.log[at:min(at+size, uint64(len(m.log)))])
		at += size
	}
	binary.LittleEndian.PutUint64(buf, min(at, uint64(len(m.log))))
	return n, nil
}

func (m *model) Each(ctx context.Context, f func(ID, uint64) error) error {
	if m.eachErr != nil {
		return m.eachErr
	}
	for _, id := range sortedIDs(m.nodes) {
		if err := f(id, m.nodes[id].usn); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *model) Lookup(id ID, f *File) error {
	m.lookups++
	if m.onLookup != nil {
		m.onLookup(m.lookups)
	}
	if m.lookupErr != nil {
		return m.lookupErr
	}
	x := m.nodes[id]
	if x == nil {
		return fs.ErrNotExist
	}
	*f = File{Directory: x.dir, Names: slices.Clone(x.names), Changed: fileTime(uint64(x.meta))}
	for _, s := range slices.Sorted(maps.Keys(x.streams)) {
		f.Streams = append(f.Streams, []byte(s))
	}
	return nil
}

// Operations.

// note adds reasons to a file, by one of its names, and writes a record if that is news.
func (m *model) note(x *node, by Name, reasons uint32) {
	if x.reasons|reasons == x.reasons {
		return
	}
	x.reasons |= reasons
	m.write(x, by, x.reasons)
	if !x.open && reasons&closed == 0 {
		m.close(x, by)
	}
}

func (m *model) close(x *node, by Name) {
	if x.reasons == 0 {
		return
	}
	if len(x.ranges) > 0 && m.ranged {
		m.writeRanges(x, by)
	}
	m.write(x, by, x.reasons|closed)
	x.reasons, x.ranges, x.open = 0, nil, false
}

// touch changes the times of a directory whose entries change. That writes no record.
func (m *model) touch(dir ID) {
	if x := m.nodes[dir]; x != nil && dir != m.info.Root {
		x.meta++
	}
}

func (m *model) create(parent ID, name string, dir bool) *node {
	m.touch(parent)
	x := m.node(dir)
	by := Name{parent, []byte(name)}
	x.names = []Name{by}
	m.note(x, by, fileCreate)
	return x
}

func (m *model) overwrite(x *node, i int, r journal.Range) {
	x.ranges, x.changed = append(x.ranges, r), append(x.changed, r)
	x.data++
	m.note(x, x.names[i], dataOverwrite)
}

func (m *model) extend(x *node, i int) { x.data++; m.note(x, x.names[i], dataExtend) }
func (m *model) chmod(x *node, i int)  { x.meta++; m.note(x, x.names[i], basicInfoChange) }

func (m *model) stream(x *node, i int, name string) {
	x.streams[name]++
	m.note(x, x.names[i], streamChange|namedExtend)
}

func (m *model) unstream(x *node, i int, name string) {
	delete(x.streams, name)
	m.note(x, x.names[i], streamChange)
}

func (m *model) link(x *node, parent ID, name string) {
	m.touch(parent)
	by := Name{parent, []byte(name)}
	x.names = append(x.names, by)
	m.note(x, by, hardLinkChange)
}

func (m *model) remove(x *node, i int) {
	by := x.names[i]
	m.touch(by.Parent)
	x.names = slices.Delete(x.names, i, i+1)
	if len(x.names) > 0 {
		m.write(x, by, x.reasons|hardLinkChange|closed) // so it is in the journal of a real Windows 7, whoever else has it open
		x.reasons, x.ranges = 0, nil
		return
	}
	delete(m.nodes, x.id)
	m.free = append(m.free, x.id.Low&(1<<48-1))
	m.write(x, by, x.reasons|fileDelete|closed)
}

func (m *model) rename(x *node, i int, parent ID, name string) {
	m.touch(x.names[i].Parent)
	m.touch(parent)
	m.write(x, x.names[i], x.reasons|renameOld)
	x.names[i] = Name{parent, []byte(name)}
	x.reasons = x.reasons&^renameNew | renameNew
	m.write(x, x.names[i], x.reasons)
	if !x.open {
		m.close(x, x.names[i])
	}
}

// Records.

func (m *model) write(x *node, by Name, reasons uint32) {
	m.clock += 10_000
	attributes := uint32(0x20)
	if x.dir {
		attributes = attributeDirectory
	}
	name := encode16(string(by.Name))
	fixed := shortest(m.major)
	b := make([]byte, (fixed+len(name)+7)&^7)
	rest := m.head(b, m.major, x.id, by.Parent)
	binary.LittleEndian.PutUint64(rest[8:], m.clock)
	binary.LittleEndian.PutUint32(rest[16:], reasons)
	binary.LittleEndian.PutUint32(rest[28:], attributes)
	binary.LittleEndian.PutUint16(rest[32:], uint16(len(name)))
	binary.LittleEndian.PutUint16(rest[34:], uint16(fixed))
	copy(b[fixed:], name)
	x.usn = m.place(len(b))
	if m.major == 2 {
		binary.LittleEndian.PutUint16(rest[34:], 60)
	}
	m.append(b, rest)
}

// writeRanges writes those of a file, two to a record.
func (m *model) writeRanges(x *node, by Name) {
	for list := x.ranges; len(list) > 0; {
		n := min(2, len(list))
		b := make([]byte, 64+16*n)
		rest := m.head(b, 4, x.id, by.Parent)
		binary.LittleEndian.PutUint32(rest[8:], x.reasons|closed)
		binary.LittleEndian.PutUint32(rest[16:], uint32(len(list)-n))
		binary.LittleEndian.PutUint16(rest[20:], uint16(n))
		binary.LittleEndian.PutUint16(rest[22:], 16)
		for i, r := range list[:n] {
			binary.LittleEndian.PutUint64(rest[24+16*i:], uint64(r.Off))
			binary.LittleEndian.PutUint64(rest[32+16*i:], uint64(r.Len))
		}
		m.append(b, rest)
		list = list[n:]
	}
}

func (m *model) head(b []byte, major uint16, file, parent ID) []byte {
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint16(b[4:], major)
	if major == 2 {
		binary.LittleEndian.PutUint64(b[8:], file.Low)
		binary.LittleEndian.PutUint64(b[16:], parent.Low)
		return b[24:]
	}
	copy(b[8:], file.bytes())
	copy(b[24:], parent.bytes())
	return b[40:]
}

// place is where a record of this length will be.
func (m *model) place(size int) uint64 {
	if room := pageSize - len(m.log)%pageSize; room < size {
		return uint64(len(m.log) + room)
	}
	return uint64(len(m.log))
}

func (m *model) append(b, rest []byte) {
	m.log = append(m.log, make([]byte, m.place(len(b))-uint64(len(m.log)))...)
	binary.LittleEndian.PutUint64(rest, uint64(len(m.log)))
	m.log = append(m.log, b...)
	m.info.Next = uint64(len(m.log))
}

func encode16(s string) []byte {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

// The yardstick.

type place struct {
	dir  ID
	name string
}

type stat struct {
	id              ID
	dir             bool
	data, meta, nlk int
	silent          int // doesn't show
	stream          int
}

// stats returns every entry of the volume.
func (m *model) stats() map[place]stat {
	all := map[place]stat{}
	for _, x := range m.nodes {
		if x.id == m.info.Root {
			continue
		}
		for _, n := range x.names {
			s := stat{id: x.id, dir: x.dir, data: x.data, meta: x.meta, silent: x.silent, nlk: len(x.names)}
			all[place{n.Parent, string(n.Name)}] = s
			for name, v := range x.streams {
				s.stream, s.dir = v, false
				all[place{n.Parent, string(n.Name) + ":" + name}] = s
			}
		}
	}
	return all
}

// lacks returns what dirt doesn't name of the differences between two states. The second is that of now.
func (m *model) lacks(d *journal.Dirty, before, after map[place]stat) []string {
	var lacks []string
	seen := map[place]bool{}
	m.askBase(d, before)
	for _, all := range []map[place]stat{before, after} {
		for p := range all {
			a, hadA := before[p]
			b, hadB := after[p]
			if seen[p] || hadA == hadB && a == b || m.nodes[p.dir] == nil {
				continue
			}
			seen[p] = true
			x := d.Dirs[p.dir.Fold()]
			turned := x != nil && x.Turns && (hadA != hadB || a.id != b.id)
			if !turned && !x.Has([]byte(p.name)) && (!b.dir || d.Dirs[b.id.Fold()] == nil) {
				lacks = append(lacks, fmt.Sprintf("%q in directory %x: %+v, was %+v", p.name, p.dir, b, a))
			}
			for at := p.dir; at != m.info.Root; {
				at = m.nodes[at].names[0].Parent
				if !d.Leads(at.Fold()) {
					lacks = append(lacks, fmt.Sprintf("directory %x on the way to %x", at, p.dir))
				}
			}
			f := d.Files[b.id.Fold()]
			if hadA && hadB && a.id == b.id && !b.dir {
				if a.silent != b.silent && (f == nil || !f.Read && f.Ranges == nil) {
					lacks = append(lacks, fmt.Sprintf("to read %q", p.name))
				}
				if f != nil && f.Kept && (a.data != b.data || a.stream != b.stream || a.silent != b.silent) {
					lacks = append(lacks, fmt.Sprintf("%q was not kept", p.name))
				}
			}
		}
	}
	slices.Sort(lacks)
	return lacks
}

// askBase does what the engine does where the journal tells only what there is: it compares that with the base.
func (m *model) askBase(d *journal.Dirty, before map[place]stat) {
	if d.Alive == nil {
		return
	}
	var old []place
	for p, s := range before {
		id := s.id.Fold()
		if strings.Contains(p.name, ":") {
			continue
		}
		if !d.Alive.Has(id) || d.Files[id] != nil || d.Dirs[id] != nil {
			d.Turn(p.dir.Fold())
			old = append(old, p)
		} else if _, changed, _ := d.Times(id); s.dir && !changed.Equal(fileTime(uint64(s.meta))) {
			d.Dir(id)
			old = append(old, p)
		}
	}
	up := map[ID]ID{}
	for p, s := range before {
		if s.dir {
			up[s.id] = p.dir
		}
	}
	for _, p := range old {
		for at, ok := p.dir, true; ok; at, ok = up[at] {
			d.Lead(at.Fold())
		}
	}
	for p, s := range before { // what is in a directory changes the times of its streams
		if d.Dirs[s.id.Fold()] != nil && strings.Contains(p.name, ":") {
			d.Name(p.dir.Fold(), []byte(p.name))
		}
	}
}

// covered tells whether ranges hold all of others.
func covered(by, list []journal.Range) bool {
	return !slices.ContainsFunc(list, func(r journal.Range) bool {
		return !slices.ContainsFunc(by, func(b journal.Range) bool { return b.Off <= r.Off && r.Off+r.Len <= b.Off+b.Len })
	})
}

func describe(d *journal.Dirty) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(d.Dirs)) {
		x := d.Dirs[id]
		fmt.Fprintf(&b, "dir %x all %v names %q\n", id, x.All, slices.Sorted(maps.Keys(x.Names)))
	}
	for _, id := range slices.Sorted(maps.Keys(d.Via)) {
		fmt.Fprintf(&b, "via %x\n", id)
	}
	for _, id := range slices.Sorted(maps.Keys(d.Files)) {
		f := d.Files[id]
		fmt.Fprintf(&b, "file %x read %v kept %v ranges %v\n", id, f.Read, f.Kept, f.Ranges)
	}
	return b.String()
}

func (m *model) journal() *Journal {
	j := New(m)
	j.now = func() time.Time { return (&Record{Stamp: m.clock}).Time() }
	return j
}
