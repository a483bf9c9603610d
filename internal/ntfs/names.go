package ntfs

import (
	"fmt"
	"unicode/utf8"
)

// appendWTF8 appends UTF-16 as WTF-8: as UTF-8 in which surrogates that aren't one of a pair are encoded like other characters.
func appendWTF8(to, utf16 []byte) []byte {
	i := 0
	for ; i+2 <= len(utf16) && utf16[i+1] == 0 && utf16[i] < 0x80; i += 2 { // mostly that is all
		to = append(to, utf16[i])
	}
	for ; i+2 <= len(utf16); i += 2 {
		c := rune(u16(utf16, i))
		switch {
		case c < 0xd800 || c > 0xdfff:
			to = utf8.AppendRune(to, c)
		case c < 0xdc00 && i+4 <= len(utf16) && u16(utf16, i+2)&0xfc00 == 0xdc00:
			to = utf8.AppendRune(to, 0x10000+(c-0xd800)<<10+rune(u16(utf16, i+2))-0xdc00)
			i += 2
		default:
			to = append(to, 0xe0|byte(c>>12), 0x80|byte(c>>6)&0x3f, 0x80|byte(c)&0x3f)
		}
	}
	return to
}

// appendUTF16 appends WTF-8 as UTF-16 units. What is neither becomes U+FFFD.
func appendUTF16(to []uint16, s []byte) []uint16 {
	for len(s) > 0 {
		c, n := utf8.DecodeRune(s)
		if c == utf8.RuneError && n == 1 && len(s) >= 3 && s[0] == 0xed && s[1]&0xe0 == 0xa0 && s[2]&0xc0 == 0x80 {
			c, n = 0xd000|rune(s[1]&0x3f)<<6|rune(s[2]&0x3f), 3
		}
		if c >= 0x10000 {
			to = append(to, uint16(0xd800+(c-0x10000)>>10), uint16(0xdc00+(c-0x10000)&0x3ff))
		} else {
			to = append(to, uint16(c))
		}
		s = s[n:]
	}
	return to
}

// readUpcase reads the table of upper-case letters that names are sorted by. Characters it hasn't stay as they are.
func (v *Volume) readUpcase() error {
	r, err := v.Record(recordUpcase)
	if err != nil {
		return fmt.Errorf("$UpCase: %w", err)
	}
	s, err := r.Open("")
	if err != nil {
		return fmt.Errorf("$UpCase: %w", err)
	}
	b := make([]byte, min(s.Size(), 2<<16))
	if _, err := s.ReadAt(b, 0); err != nil {
		return fmt.Errorf("$UpCase: %w", err)
	}
	v.upcase = make([]uint16, 1<<16)
	for i := range v.upcase {
		v.upcase[i] = uint16(i)
		if 2*i+2 <= len(b) {
			v.upcase[i] = u16(b, 2*i)
		}
	}
	return nil
}

// compare says how name sorts against a name in an index: by its upper-case letters; if they are the same, by the letters themselves.
func (v *Volume) compare(name []uint16, b []byte) int {
	n := min(len(name), len(b)/2)
	for i := range n {
		if x, y := v.upcase[name[i]], v.upcase[u16(b, 2*i)]; x != y {
			return int(x) - int(y)
		}
	}
	if d := len(name) - len(b)/2; d != 0 {
		return d
	}
	for i := range n {
		if d := int(name[i]) - int(u16(b, 2*i)); d != 0 {
			return d
		}
	}
	return 0
}
