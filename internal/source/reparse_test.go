package source

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unicode/utf16"
)

// reparse makes the reparse point of a link.
func reparse(tag uint32, target, shown string) []byte {
	var names []byte
	for _, name := range []string{shown, target} {
		for _, u := range utf16.Encode([]rune(name)) {
			names = binary.LittleEndian.AppendUint16(names, u)
		}
	}
	n := len(utf16.Encode([]rune(shown))) * 2
	b := binary.LittleEndian.AppendUint32(nil, tag)
	for _, v := range []int{8 + len(names), 0, n, len(names) - n, 0, n} {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	if tag == tagSymlink {
		b = append(b, 1, 0, 0, 0)
	}
	return append(b, names...)
}

func TestLinkTarget(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"relative", reparse(tagSymlink, `..\other\𝄞`, "shown"), "../other/𝄞"},
		{"full", reparse(tagSymlink, `\??\C:\Users`, `C:\Users`), "/C:/Users"},
		{"of this drive", reparse(tagSymlink, `\Users`, `\Users`), "/Users"},
		{"share", reparse(tagSymlink, `\??\UNC\server\share`, `\\server\share`), "//server/share"},
		{"junction", reparse(tagMountPoint, `\??\D:\data`, ""), "/D:/data"},
		{"mounted volume", reparse(tagMountPoint, `\??\Volume{7e0f8f3b-0000-0000-0000-100000000000}\`, ""), "/Volume{7e0f8f3b-0000-0000-0000-100000000000}/"},
		{"of another kind", reparse(0x80000017, `x`, ""), ""},
		{"empty", reparse(tagMountPoint, ``, "shown"), ""},
		{"cut off", reparse(tagSymlink, `..\other`, "shown")[:30], ""},
		{"nothing", nil, ""},
	} {
		got, ok := LinkTarget(c.data)
		if string(got) != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v, want %q", c.name, got, ok, c.want)
		}
	}
}

func FuzzLinkTarget(f *testing.F) {
	f.Add(reparse(tagSymlink, `..\other`, "shown"))
	f.Add(reparse(tagMountPoint, `\??\D:\data`, ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		if target, ok := LinkTarget(data); ok && (len(target) == 0 || bytes.IndexByte(target, '\\') >= 0) {
			t.Errorf("target %q", target)
		}
	})
}

func TestWTF8(t *testing.T) {
	for _, c := range []struct {
		utf16 []uint16
		want  string
	}{
		{[]uint16{'a', 0xe4, 0x20ac}, "aä€"},
		{[]uint16{0xd834, 0xdd1e}, "𝄞"},
		{[]uint16{0xd834}, "\xed\xa0\xb4"},
		{[]uint16{0xdd1e, 0xd834, 'x'}, "\xed\xb4\x9e\xed\xa0\xb4x"},
	} {
		var b []byte
		for _, u := range c.utf16 {
			b = binary.LittleEndian.AppendUint16(b, u)
		}
		if got := wtf8(nil, b); string(got) != c.want {
			t.Errorf("%x: %q, want %q", c.utf16, got, c.want)
		}
	}
}

func TestServed(t *testing.T) {
	for tag, want := range map[uint32]bool{0: false, tagSymlink: false, tagMountPoint: false, 0x80000013: true, 0x9000001a: true, 0x9000f01a: true, 0x80000023: false} {
		if Served(tag) != want {
			t.Errorf("%#x: %v, want %v", tag, !want, want)
		}
	}
}

func TestStreamName(t *testing.T) {
	for full, want := range map[string]string{":Zone.Identifier:$DATA": "Zone.Identifier", "::$DATA": "", ":x:$BITMAP": "", "x": ""} {
		if got, ok := streamName([]byte(full)); ok != (want != "") || ok && string(got) != want {
			t.Errorf("%s: %q, %v, want %q", full, got, ok, want)
		}
	}
}
