package parity

import (
	"errors"
	"testing"
)

func TestScheme(t *testing.T) {
	for _, text := range []string{"off", "20+1", "20+2", "128+16", "1+1"} {
		if s, err := ParseScheme(text); err != nil || s.String() != text {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "20", "20+0", "0+1", "129+1", "20+17", "20+1x", "-1+1", "20 + 1"} {
		if s, err := ParseScheme(text); !errors.Is(err, ErrScheme) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}
