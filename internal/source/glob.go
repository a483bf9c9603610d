package source

import (
	"bytes"
	"unicode/utf8"
)

// glob matches one name of a path, or with deep any number of them.
type glob struct {
	tokens     []token
	head, tail []byte // what a match begins and ends with; apart from each other unless it is plain
	plain      bool   // head alone is all of it
	affixes    bool   // head, anything, tail is all of it
	deep       bool
}

type token struct {
	kind    tokenKind
	text    []byte // of a literal
	ranges  []runeRange
	negated bool
}

type tokenKind uint8

const (
	text tokenKind = iota
	star
	one
	class
)

// runeRange is a range of characters. Bytes that are no characters count from rawByte.
type runeRange struct{ lo, hi rune }

const rawByte = utf8.MaxRune + 1

// char is the first character of b, or its first byte if that isn't part of one.
func char(b []byte) (rune, int) {
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n == 1 {
		r = rawByte + rune(b[0])
	}
	return r, n
}

// match says whether name matches. Most names don't, and most patterns tell by their ends.
func (g *glob) match(name []byte) bool {
	switch {
	case g.deep:
		return true
	case g.plain:
		return string(name) == string(g.head)
	case len(name) < len(g.head)+len(g.tail), !bytes.HasPrefix(name, g.head), !bytes.HasSuffix(name, g.tail):
		return false
	}
	return g.affixes || match(g.tokens, name)
}

// match goes back to the last star only, which is enough: what an earlier one could take, a later one can.
func match(tokens []token, name []byte) bool {
	var again []token // what follows the last star
	var from []byte   // where it was tried
	for {
		if len(tokens) > 0 && tokens[0].kind == star {
			tokens = tokens[1:]
			if len(tokens) == 0 {
				return true
			}
			again, from = tokens, name
			continue
		}
		n, ok := 0, len(tokens) == 0 && len(name) == 0
		if ok {
			return true
		}
		if len(tokens) > 0 {
			n, ok = tokens[0].match(name)
		}
		if ok {
			tokens, name = tokens[1:], name[n:]
			continue
		}
		if again == nil || len(from) == 0 {
			return false
		}
		_, n = char(from)
		from = from[n:]
		tokens, name = again, from
	}
}

// match says how many bytes at the start of name the token takes.
func (t *token) match(name []byte) (int, bool) {
	if t.kind == text {
		return len(t.text), bytes.HasPrefix(name, t.text)
	}
	if len(name) == 0 {
		return 0, false
	}
	r, n := char(name)
	if t.kind == one {
		return n, true
	}
	for _, in := range t.ranges {
		if in.lo <= r && r <= in.hi {
			return n, !t.negated
		}
	}
	return n, t.negated
}
