package ntfs

import "slices"

// The types of attributes that are read.
const (
	attrStandard     = 0x10
	attrList         = 0x20
	attrFileName     = 0x30
	attrSecurity     = 0x50
	attrVolumeName   = 0x60
	attrVolumeInfo   = 0x70
	attrData         = 0x80
	attrIndexRoot    = 0x90
	attrIndexAlloc   = 0xa0
	attrBitmap       = 0xb0
	attrReparsePoint = 0xc0
	attrEA           = 0xe0
	attrEnd          = 0xffffffff
)

const (
	flagCompressed = 0x00ff
	flagEncrypted  = 0x4000
	flagSparse     = 0x8000
)

// attr is an attribute of a record, or a part of one: a long list of runs is spread over several records. It points into the record's bytes.
//
//	0x00 type u32   0x04 length u32   0x08 non-resident u8   0x09 name length u8   0x0a name offset u16   0x0c flags u16
//	resident:      0x10 value length u32   0x14 value offset u16
//	non-resident:  0x10 first cluster u64   0x18 last u64   0x20 runs offset u16   0x22 compression unit u8
//	               0x28 allocated u64   0x30 size u64   0x38 valid u64   0x40 really allocated u64, when compressed or sparse
type attr struct {
	typ      uint32
	flags    uint16
	resident bool
	unit     uint8  // log2 of clusters
	name     []byte // UTF-16
	value    []byte // resident: the value, else the runs
	vcn      int64  // of the first of the runs
	size     int64
	valid    int64
	alloc    int64
}

// appendAttrs decodes the attributes in a record, whose bytes were checked and mended by fixup.
func appendAttrs(attrs []attr, b []byte, place string) ([]attr, error) {
	at, used := int(u16(b, 0x14)), int(u32(b, 0x18))
	if at < 0x2a || used > len(b) || used < 0 {
		return attrs, damaged(place, "%d bytes used of %d, attributes from %d", used, len(b), at)
	}
	for {
		if at+4 <= used && u32(b, at) == attrEnd {
			return attrs, nil
		}
		if at+0x18 > used {
			return attrs, damaged(place, "no end of attributes")
		}
		size := int(u32(b, at+4))
		if size < 0x18 || size > used-at {
			return attrs, damaged(place, "an attribute of %d bytes at %d", size, at)
		}
		attrs = append(attrs, attr{})
		if what := attrs[len(attrs)-1].decode(b[at : at+size]); what != "" {
			return attrs, damaged(place, "attribute at %d: %s", at, what)
		}
		at += size
	}
}

// decode returns what is wrong.
func (a *attr) decode(b []byte) string {
	a.typ, a.resident, a.flags = u32(b, 0), b[8] == 0, u16(b, 0x0c)
	from, size := int(u16(b, 0x0a)), 2*int(b[9])
	if size > 0 {
		if from+size > len(b) {
			return "its name is outside of it"
		}
		a.name = b[from : from+size]
	}
	if a.resident {
		from, size := int(u16(b, 0x14)), int(u32(b, 0x10))
		if size < 0 || from+size < from || from+size > len(b) {
			return "its value is outside of it"
		}
		a.value = b[from : from+size]
		a.size, a.valid, a.alloc = int64(size), int64(size), int64(size)
		return ""
	}
	return a.decodeRuns(b)
}

func (a *attr) decodeRuns(b []byte) string {
	if len(b) < 0x40 {
		return "too short"
	}
	runs := int(u16(b, 0x20))
	if runs > len(b) {
		return "its runs are outside of it"
	}
	a.value = b[runs:]
	a.vcn, a.unit = int64(u64(b, 0x10)), b[0x22]
	if a.vcn < 0 || a.vcn > 1<<52 {
		return "it begins nowhere"
	}
	if a.vcn > 0 {
		return "" // what follows counts in the first part only
	}
	a.alloc, a.size, a.valid = int64(u64(b, 0x28)), int64(u64(b, 0x30)), int64(u64(b, 0x38))
	if a.size < 0 || a.valid < 0 || a.alloc < 0 {
		return "its size is negative"
	}
	a.valid = min(a.valid, a.size)
	if a.flags&(flagCompressed|flagSparse) != 0 && len(b) >= 0x48 && runs >= 0x48 {
		a.alloc = int64(u64(b, 0x40))
	}
	return ""
}

// find returns the first part of an attribute, nil if there is none. The name is ASCII.
func (r *Record) find(typ uint32, name string) *attr {
	for i := range r.attrs {
		a := &r.attrs[i]
		if a.typ == typ && (a.resident || a.vcn == 0) && isName(a.name, name) {
			return a
		}
	}
	return nil
}

// isName says whether UTF-16 is this ASCII.
func isName(b []byte, name string) bool {
	if len(b) != 2*len(name) {
		return false
	}
	for i := range len(name) {
		if u16(b, 2*i) != uint16(name[i]) {
			return false
		}
	}
	return true
}

// fixup checks a record or an index block that was written in several sectors, and puts back the last two bytes of each, which lie in
// its head: where they stood is a number that is the same in all sectors if all were written.
func fixup(b []byte, place string) error {
	const stride = 512
	at, count := int(u16(b, 4)), int(u16(b, 6))
	if count != len(b)/stride+1 || at < 0x18 || at+2*count > stride-2 {
		return damaged(place, "update sequence of %d at %d", count, at)
	}
	number := u16(b, at)
	for i := 1; i < count; i++ {
		end := i*stride - 2
		if u16(b, end) != number {
			return damaged(place, "it was written only in part")
		}
		copy(b[end:end+2], b[at+2*i:])
	}
	return nil
}

// extensions returns the numbers of the other records that the attribute list names, in its order: by attribute, then by place in it.
//
//	0x00 type u32   0x04 length u16   0x06 name length u8   0x07 name offset u8   0x08 first cluster u64   0x10 record u64   0x18 id u16
func (r *Record) extensions(list []byte) ([]FRN, error) {
	var found []FRN
	for len(list) >= 0x1a {
		size := int(u16(list, 4))
		if size < 0x1a || size > len(list) {
			return nil, damaged(r.place(), "an entry of %d bytes in its attribute list", size)
		}
		if frn := FRN(u64(list, 0x10)); frn.Record() != r.FRN.Record() && !slices.Contains(found, frn) {
			found = append(found, frn)
		}
		list = list[size:]
	}
	return found, nil
}
