package treetest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// dice is the source of all that is random here.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 0x7ea57e57))} }

// one in n.
func (d dice) one(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// name makes a file name; most are ordinary.
func (d dice) name() string {
	word := fmt.Sprintf("%s%d", pick(d, "report", "IMG_", "data", "x", "main.go.", "index", "Übersicht-", "日本"), d.IntN(1000))
	switch d.IntN(24) {
	case 0:
		return word + "\n" + word
	case 1:
		return word + "\xff\xfe\x80" // not UTF-8
	case 2:
		return long(word, 255)
	case 3:
		return "." + word
	case 4:
		return "-rf " + word
	case 5:
		return word + `\x41\`
	case 6:
		return pick(d, "*", "?", "[", "~", "'", `"`, "$", " ", "\x01", "\x7f", "\u202e", "e\u0301", "...", "\xed\xa0\x80") + word
	case 7:
		return word + " "
	case 8:
		return long("\xc3", 200+d.IntN(56))
	}
	return word
}

func long(s string, n int) string { return strings.Repeat(s, n/len(s)+1)[:n] }

// size makes a file size: any magnitude is as likely as any other, and sizes that matter come often.
func (d dice) size(o Options) int64 {
	if len(o.Sizes) > 0 && d.one(4) {
		return min(max(0, pick(d, o.Sizes...)+int64(d.IntN(3)-1)), o.MaxFile)
	}
	switch d.IntN(8) {
	case 0:
		return 0
	case 1:
		return min(o.MaxFile, pick[int64](d, 1, 511, 512, 4095, 4096, 4097, 65535, 65536, 65537))
	}
	for top := o.MaxFile; ; top /= 4 {
		if top < 64 || d.one(6) {
			return d.Int64N(top + 1)
		}
	}
}

// content makes n bytes: noise, text, zeros, or a pattern that comes again and again in many files.
func (d dice) content(n int64) []byte {
	b := make([]byte, n)
	switch d.IntN(5) {
	case 0:
	case 1:
		words := strings.Fields("the waybill goes with the goods and says what they are and where they go\n and")
		for i := 0; i < len(b); {
			i += copy(b[i:], pick(d, words...)+" ")
		}
	case 2:
		shared := newDice(uint64(d.IntN(3)))
		block := make([]byte, 200_000)
		shared.fill(block)
		for i := d.IntN(100); i < len(b); {
			i += copy(b[i:], block)
		}
	default:
		d.fill(b)
	}
	return b
}

func (d dice) fill(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, d.Uint64())
	}
	for i := range b {
		b[i] = byte(d.Uint32())
	}
}
