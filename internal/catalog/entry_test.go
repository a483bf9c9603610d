package catalog

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"waybill/internal/pack"
)

// What does not follow the format to the letter is no entry.
func TestEntryRefused(t *testing.T) {
	enc := func(e Entry) []byte {
		if e.Kind == 0 {
			e.Kind = Fifo
		}
		return e.Append(nil)
	}
	chunk := func(n int64) []byte { return Item{n, id(1)}.append(nil) }
	xattrs := func(names ...string) (b []byte) {
		b = XattrCount(nil, len(names))
		for _, n := range names {
			b = AppendXattr(b, []byte(n), nil)
		}
		return b
	}
	nine := []byte{}
	for range 9 {
		nine = append(nine, chunk(1)...)
	}
	for name, b := range map[string][]byte{
		"empty":                           {},
		"kind 0":                          {0},
		"kind 8":                          append([]byte{8}, enc(Entry{})[1:]...),
		"unknown flag":                    append([]byte{4, 0x80, 1}, enc(Entry{})[2:]...),
		"a longer form":                   append([]byte{4, 0x80, 0}, enc(Entry{})[2:]...),
		"a name with a slash":             enc(Entry{Name: []byte("a/b")}),
		"a name with a zero":              enc(Entry{Name: []byte("a\x00")}),
		"dot":                             enc(Entry{Name: []byte(".")}),
		"dot dot":                         enc(Entry{Name: []byte("..")}),
		"a long name":                     enc(Entry{Name: []byte(strings.Repeat("x", 4097))}),
		"a mode beyond 12 bits":           enc(Entry{Mode: 0o10000}),
		"a billion nanoseconds":           enc(Entry{Mtime: Time{0, 1_000_000_000}}),
		"a long target":                   enc(Entry{Kind: Symlink, Target: make([]byte, 64<<10+1)}),
		"no attributes":                   append([]byte{4, 8}, append(enc(Entry{})[2:], 0)...),
		"attributes out of order":         enc(Entry{Xattrs: xattrs("b", "a")}),
		"attributes twice":                enc(Entry{Xattrs: xattrs("a", "a")}),
		"a large attribute":               enc(Entry{Xattrs: AppendXattr(XattrCount(nil, 1), []byte("a"), make([]byte, 1<<20+1))}),
		"more attributes than there are":  enc(Entry{Xattrs: XattrCount(nil, 60_000)}),
		"content by reference to nothing": append([]byte{1, 16}, append(enc(Entry{Kind: File})[2:], make([]byte, 32)...)...),
		"a directory by reference":        append([]byte{2, 16}, enc(Entry{Kind: Directory})[2:]...),
		"content beyond the size":         enc(Entry{Kind: File, Size: 9, Content: chunk(10)}),
		"content short of the size":       enc(Entry{Kind: File, Size: 11, Content: chunk(10)}),
		"content that wraps round": enc(Entry{Kind: File, Size: 1<<63 - 1, Flags: Partial,
			Content: append(Item{Length: 1<<63 - 1}.append(nil), Item{Length: 1<<63 - 1}.append(nil)...)}),
		"nine items":       enc(Entry{Kind: File, Size: 9, Content: nine}),
		"a huge chunk":     enc(Entry{Kind: File, Size: 1<<20 + 1, Content: chunk(1<<20 + 1)}),
		"an empty chunk":   enc(Entry{Kind: File, Content: chunk(0)}),
		"an empty hole":    enc(Entry{Kind: File, Content: []byte{1}}),
		"a chunk of no id": enc(Entry{Kind: File, Size: 1, Content: append([]byte{2}, make([]byte, 32)...)}),
		"a size beyond 63 bits": append(enc(Entry{Kind: File, Flags: Partial})[:len(enc(Entry{Kind: File, Flags: Partial}))-1],
			binary.AppendUvarint(nil, 1<<63)...),
	} {
		if e, err := ParseEntry(b); !errors.Is(err, pack.ErrDamaged) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func TestTimeBefore(t *testing.T) {
	for _, test := range []struct {
		a, b Time
		want bool
	}{{Time{1, 0}, Time{1, 1}, true}, {Time{1, 1}, Time{1, 1}, false}, {Time{1, 2}, Time{1, 1}, false}, {Time{-1, 5}, Time{0, 0}, true}, {Time{2, 0}, Time{1, 9}, false}} {
		if got := test.a.Before(test.b); got != test.want {
			t.Errorf("%v before %v: %v", test.a, test.b, got)
		}
	}
}

func TestKindString(t *testing.T) {
	letters := ""
	for k := Kind(0); k <= BlockDevice+1; k++ {
		letters += k.String()
	}
	if letters != "?-dlpscb?" {
		t.Error(letters)
	}
}
