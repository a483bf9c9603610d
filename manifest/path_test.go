package manifest

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

func TestEscapePath(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"", ""},
		{"/srv/data/a b.txt", "/srv/data/a b.txt"},
		{"/Übersicht/日本", "/Übersicht/日本"},
		{"two\nlines\x00\x1f\x7f", `two\x0alines\x00\x1f\x7f`},
		{`back\slash`, `back\x5cslash`},
		{"latin1 \xe4, cut \xe6\x97", `latin1 \xe4, cut \xe6\x97`},
		{"surrogate \xed\xa0\x80", `surrogate \xed\xa0\x80`},
		{"real \uFFFD", "real \uFFFD"},
	} {
		if got := EscapePath([]byte(c.path)); got != c.want {
			t.Errorf("EscapePath(%q) = %s, want %s", c.path, got, c.want)
		}
		if got, err := UnescapePath(c.want); err != nil || string(got) != c.path {
			t.Errorf("UnescapePath(%s) = %q, %v, want %q", c.want, got, err, c.path)
		}
	}
}

func TestUnescapePathRefuses(t *testing.T) {
	for _, s := range []string{`\`, `a\`, `\x`, `\x1`, `\x1g`, `\n`, `\\`, "\xff", "a\nb", "\x7f", "\x00"} {
		if got, err := UnescapePath(s); err == nil {
			t.Errorf("UnescapePath(%q) = %q, want an error", s, got)
		}
	}
	if got, err := UnescapePath(`\x41\xC3\xa4`); err != nil || string(got) != "Aä" {
		t.Errorf("needless and upper-case escapes: %q, %v", got, err)
	}
}

func FuzzEscapePath(f *testing.F) {
	f.Add([]byte("/srv/\xff\n\\x41"))
	f.Fuzz(func(t *testing.T, path []byte) {
		s := EscapePath(path)
		if !utf8.ValidString(s) {
			t.Fatalf("%q is not UTF-8", s)
		}
		back, err := UnescapePath(s)
		if err != nil || !bytes.Equal(back, path) {
			t.Fatalf("%q -> %q -> %q, %v", path, s, back, err)
		}
		// Whatever text is taken for a path means the same when it is written again.
		if b, err := UnescapePath(string(path)); err == nil {
			if again, err := UnescapePath(EscapePath(b)); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%q means %q, but then %q, %v", path, b, again, err)
			}
		}
	})
}
