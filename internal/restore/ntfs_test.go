package restore

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"waybill/internal/catalog"
)

// ntfsEntry is an entry with attributes, given as names and values in turn.
func ntfsEntry(kind catalog.Kind, name string, attributes ...string) *catalog.Entry {
	e := &catalog.Entry{Kind: kind, Name: []byte(name), Mode: 0o644, Mtime: catalog.Time{Sec: 1234567890, Nsec: 123456700}}
	if kind == catalog.Directory {
		e.Mode = 0o755
	}
	if len(attributes) > 0 {
		e.Xattrs = catalog.XattrCount(nil, len(attributes)/2)
	}
	for pair := range slices.Chunk(attributes, 2) {
		e.Xattrs = catalog.AppendXattr(e.Xattrs, []byte(pair[0]), []byte(pair[1]))
	}
	return e
}

func u32(v uint32) string { return string(binary.LittleEndian.AppendUint32(nil, v)) }
func u64(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }

// security is a descriptor: everyone (S-1-1-0) owns it and may do anything.
func security() []byte {
	sid := []byte{1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}
	ace := append([]byte{0, 0, 20, 0, 0xff, 1, 0x1f, 0}, sid...)
	b := []byte{1, 0, 4, 0x80}
	for _, off := range []uint32{20, 32, 0, 44} {
		b = binary.LittleEndian.AppendUint32(b, off)
	}
	b = append(append(b, sid...), sid...)
	return append(append(b, 2, 0, 28, 0, 1, 0, 0, 0), ace...)
}

// junction is the reparse point of one.
func junction(target string) []byte {
	var names []byte
	for _, c := range target {
		names = append(names, byte(c), 0)
	}
	names = append(names, 0, 0, 0, 0)
	n := len(names) - 4
	b := binary.LittleEndian.AppendUint32(nil, 0xa0000003)
	for _, v := range []int{8 + len(names), 0, 0, n, n + 2, 0} {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return append(b, names...)
}

func TestNTFSOf(t *testing.T) {
	e := ntfsEntry(catalog.File, "x", ntfsACL, string(security()), ntfsAttrib, u32(0x22), ntfsCrtime, u64(99), ntfsEA, "ea", ntfsReparse, string(junction("x")), "user.x", "other")
	n := ntfsOf(e)
	if !n.known || n.attrib != 0x22 || n.crtime != 99 || !bytes.Equal(n.acl, security()) || string(n.ea) != "ea" || len(n.reparse) == 0 {
		t.Errorf("%+v", n)
	}
	for name, e := range map[string]*catalog.Entry{
		"nothing":   ntfsEntry(catalog.File, "x"),
		"others":    ntfsEntry(catalog.File, "x", "user.x", "value"),
		"no sense":  ntfsEntry(catalog.File, "x", ntfsACL, "short", ntfsAttrib, "short", ntfsCrtime, "", ntfsEA, "", ntfsReparse, ""),
		"not known": ntfsEntry(catalog.File, "x", ntfsPrefix+"efsinfo", "value"),
	} {
		if n := ntfsOf(e); n.known {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

func TestValidSecurity(t *testing.T) {
	good := security()
	if !validSecurity(good) {
		t.Fatal("a good one is refused")
	}
	for name, spoil := range map[string]func(b []byte) []byte{
		"cut off":              func(b []byte) []byte { return b[:len(b)-1] },
		"only a head":          func(b []byte) []byte { return b[:20] },
		"nothing":              func(b []byte) []byte { return nil },
		"not self-relative":    func(b []byte) []byte { b[3] = 0; return b },
		"owner behind the end": func(b []byte) []byte { b[4] = 250; return b },
		"owner in the head":    func(b []byte) []byte { b[4] = 8; return b },
		"offset with sign":     func(b []byte) []byte { b[7] = 0xff; return b },
		"owner too long":       func(b []byte) []byte { b[21] = 200; return b },
		"list too long":        func(b []byte) []byte { b[47] = 1; return b },
		"list too short":       func(b []byte) []byte { b[46] = 4; return b },
	} {
		if validSecurity(spoil(bytes.Clone(good))) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzValidSecurity(f *testing.F) {
	f.Add(security())
	f.Fuzz(func(t *testing.T, b []byte) { validSecurity(b) })
}

// TestStreamNames knows streams on Windows only, and drives at the top only.
func TestStreamNames(t *testing.T) {
	top := &dir{}
	sub := &dir{parent: top}
	drive := systemName(top, []byte("C:"))
	of, name, ok := streamOf(ntfsEntry(catalog.File, "f:Zone.Identifier"))
	if ok != onWindows || drive == "C" != onWindows || ok && (of != "f" || name != "Zone.Identifier") {
		t.Errorf("stream %q of %q, %v; drive %s", name, of, ok, drive)
	}
	if got := systemName(sub, []byte("C:")); got != "C:" {
		t.Errorf("C: further down is %s", got)
	}
	for _, e := range []*catalog.Entry{ntfsEntry(catalog.Directory, "f:s"), ntfsEntry(catalog.File, "f:"), ntfsEntry(catalog.File, ":s"), ntfsEntry(catalog.File, "f")} {
		if _, _, ok := streamOf(e); ok {
			t.Errorf("%s is a stream", e.Name)
		}
	}
	for name, want := range map[string]bool{"f": true, "f:s": true, "C:": !onWindows, "f:a:$DATA": !onWindows, `f:..\x`: !onWindows} {
		if got := refused(sub, ntfsEntry(catalog.File, name)) == nil; got != want {
			t.Errorf("%s is accepted: %v", name, got)
		}
	}
}
