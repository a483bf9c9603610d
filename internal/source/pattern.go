package source

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"waybill/manifest"
)

var (
	errEmpty = errors.New("it is empty")
	errClass = errors.New("a [ has no ] (write the character itself as \\[)")
	errRange = errors.New("a range between [ and ] has no end or runs backwards")
	errSlash = errors.New("a backslash at the end, or before a letter; write a byte as \\xNN")
	errName  = errors.New("a name in it is empty, one dot or two dots")
	errStars = errors.New("** must stand alone between slashes")
)

func parsePattern(s string) (pattern, error) {
	var p pattern
	s, p.keep = strings.CutPrefix(s, "!")
	s, p.dirOnly = strings.CutSuffix(s, "/")
	rooted := strings.HasPrefix(s, "/")
	s = strings.TrimPrefix(s, "/")
	if s == "" {
		return p, errEmpty
	}
	if !rooted {
		p.names = append(p.names, glob{deep: true})
	}
	for name := range strings.SplitSeq(s, "/") {
		g, err := parseGlob(name)
		if err != nil {
			return p, err
		}
		if n := len(p.names); !g.deep || n == 0 || !p.names[n-1].deep {
			p.names = append(p.names, g)
		}
	}
	return p, nil
}

func parseGlob(s string) (glob, error) {
	switch {
	case s == "**":
		return glob{deep: true}, nil
	case strings.Contains(s, "**"):
		return glob{}, errStars
	case s == "" || s == "." || s == "..":
		return glob{}, errName
	}
	var tokens []token
	for s != "" {
		var t token
		var err error
		switch s[0] {
		case '*':
			t, s = token{kind: star}, s[1:]
		case '?':
			t, s = token{kind: one}, s[1:]
		case '[':
			t, s, err = parseClass(s[1:])
		default:
			t.text, s, err = parseText(s)
		}
		if err != nil {
			return glob{}, err
		}
		tokens = append(tokens, t)
	}
	return newGlob(tokens...), nil
}

func newGlob(tokens ...token) glob {
	g := glob{tokens: tokens}
	g.head, g.tail = tokens[0].text, tokens[len(tokens)-1].text
	others := len(tokens)
	for _, t := range tokens {
		if t.kind == text {
			others--
		}
	}
	g.plain = others == 0
	g.affixes = others == 1 && len(tokens) <= 3 && slices.ContainsFunc(tokens, func(t token) bool { return t.kind == star })
	return g
}

func parseText(s string) (out []byte, rest string, err error) {
	for s != "" && !strings.ContainsRune("*?[", rune(s[0])) {
		if s[0] != '\\' {
			out, s = append(out, s[0]), s[1:]
			continue
		}
		b, n, err := escaped(s)
		if err != nil {
			return nil, "", err
		}
		out, s = append(out, b), s[n:]
	}
	return out, s, nil
}

// escaped reads the escape that s begins with, n bytes of it.
func escaped(s string) (b byte, n int, err error) {
	if len(s) >= 2 && strings.IndexByte(`*?[]!\-^`, s[1]) >= 0 {
		return s[1], 2, nil
	}
	if len(s) >= 4 {
		if b, err := manifest.UnescapePath(s[:4]); err == nil && len(b) == 1 {
			return b[0], 4, nil
		}
	}
	return 0, 0, errSlash
}

// parseClass reads a class from behind its bracket.
func parseClass(s string) (t token, rest string, err error) {
	t.kind = class
	if s != "" && (s[0] == '^' || s[0] == '!') {
		t.negated, s = true, s[1:]
	}
	for first := true; ; first = false {
		if s == "" {
			return t, "", errClass
		}
		if s[0] == ']' && !first {
			return t, s[1:], nil
		}
		var r runeRange
		if r.lo, s, err = classChar(s); err != nil {
			return t, "", err
		}
		r.hi = r.lo
		if len(s) >= 2 && s[0] == '-' && s[1] != ']' {
			if r.hi, s, err = classChar(s[1:]); err != nil || r.hi < r.lo {
				return t, "", errors.Join(errRange, err)
			}
		}
		t.ranges = append(t.ranges, r)
	}
}

func classChar(s string) (r rune, rest string, err error) {
	if s[0] == '\\' {
		b, n, err := escaped(s)
		if b >= utf8.RuneSelf {
			return rawByte + rune(b), s[min(n, len(s)):], err
		}
		return rune(b), s[n:], err
	}
	r, n := char([]byte(s))
	return r, s[n:], nil
}
