package catalog

import (
	"bytes"
	"encoding/binary"

	"waybill/internal/pack"
)

// A decoder reads the format's parts off a slice. After anything that does not fit,
// bad is set and what it returns is empty.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.bad, d.b = true, nil
}

func (d *decoder) uvarint(limit uint64) uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 && uint64(d.b[0]) <= limit { // most are this short
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit || n > 1 && d.b[n-1] == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes(limit int) []byte { return d.take(int(d.uvarint(uint64(limit)))) }

func (d *decoder) id() (id pack.ID) {
	copy(id[:], d.take(len(id)))
	return id
}

func (d *decoder) time() Time {
	u := d.uvarint(1<<64 - 1)
	return Time{Sec: int64(u>>1) ^ -int64(u&1), Nsec: uint32(d.uvarint(999_999_999))}
}

// xattrs checks the encoded attributes and returns them whole.
func (d *decoder) xattrs() []byte {
	start := d.b
	n := d.uvarint(1 << 16)
	d.bad = d.bad || n == 0
	var last []byte
	for i := range n {
		name := d.bytes(maxName)
		d.bytes(maxXattr)
		if d.bad || i > 0 && bytes.Compare(last, name) >= 0 {
			d.fail()
			return nil
		}
		last = name
	}
	return start[:len(start)-len(d.b)]
}

// items checks the content items up to the end and returns them whole.
func (d *decoder) items(size int64, partial bool) []byte {
	all := d.b
	total := int64(0)
	for n := 0; len(d.b) > 0 && !d.bad; n++ {
		it := d.item()
		if n == maxInline || it.Length > size-total {
			d.fail()
		}
		total += it.Length
	}
	if total != size && !partial {
		d.fail()
	}
	return all
}

func (d *decoder) item() (it Item) {
	v := d.uvarint(1<<64 - 1)
	it.Length = int64(v >> 1)
	if v&1 == 0 {
		it.ID = d.id()
		if it.Length > pack.MaxDataChunk || it.ID.IsZero() {
			d.fail()
		}
	}
	if it.Length == 0 {
		d.fail()
	}
	return it
}
