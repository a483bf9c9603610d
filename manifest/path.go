package manifest

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// EscapePath writes a path or name, which may be any bytes, as FORMAT.md's escaped path: text that is safe in JSON and on a
// terminal's line, and that UnescapePath turns back into the same bytes.
func EscapePath(path []byte) string {
	clean := 0 // everything before it stays as it is
	for clean < len(path) && 0x20 <= path[clean] && path[clean] < 0x7f && path[clean] != '\\' {
		clean++
	}
	if clean == len(path) {
		return string(path)
	}
	var out strings.Builder
	out.Grow(len(path) + 16)
	out.Write(path[:clean])
	for rest := path[clean:]; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r < 0x20 || r == 0x7f || r == '\\' || r == utf8.RuneError && size == 1 {
			out.WriteString(`\x`)
			out.WriteByte(hexDigits[rest[0]>>4])
			out.WriteByte(hexDigits[rest[0]&15])
		} else {
			out.Write(rest[:size])
		}
		rest = rest[size:]
	}
	return out.String()
}

// UnescapePath gives the bytes that an escaped path stands for. Any byte may be escaped, in digits of either case; what must be
// escaped and isn't is an error.
func UnescapePath(s string) ([]byte, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\':
			b, ok := escapedByte(s[i:])
			if !ok {
				return nil, fmt.Errorf(`path %q: a backslash must begin \xNN, two hex digits; write a backslash itself as \x5c`, s)
			}
			out = append(out, b)
			i += len(`\xNN`)
			continue
		case r < 0x20, r == 0x7f, r == utf8.RuneError && size == 1:
			return nil, fmt.Errorf(`path %q: byte %#02x must be written \x%02x`, s, s[i], s[i])
		}
		out = append(out, s[i:i+size]...)
		i += size
	}
	return out, nil
}

func escapedByte(s string) (byte, bool) {
	if len(s) < 4 || s[1] != 'x' {
		return 0, false
	}
	hi, ok1 := hexDigit(s[2])
	lo, ok2 := hexDigit(s[3])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
