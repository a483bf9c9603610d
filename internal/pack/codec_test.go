package pack

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func TestCodec(t *testing.T) {
	text := bytes.Repeat([]byte("a line of a log file, much like the one before it\n"), 1<<15)
	for _, test := range []struct {
		name   string
		plain  []byte
		method uint8
	}{
		{"a byte", []byte("a"), methodStored},
		{"a few bytes", []byte("waybill"), methodStored},
		{"small text", text[:500], methodZstd},
		{"text", text, methodZstd},
		{"the largest frame", bytes.Repeat(text, 11)[:maxPlain], methodZstd},
		{"zeros", make([]byte, 1<<20), methodZstd},
		{"small noise", noise(1, 8<<10), methodStored},
		{"noise", noise(1, 1<<20), methodStored},
		{"noise with a seam of text", append(noise(1, 900<<10), text[:200<<10]...), methodZstd},
	} {
		for l := Fastest; l <= Best; l++ {
			c := newCodec()
			for range 2 { // with and without buffers from before
				stored, method, err := compress(c, test.plain, l)
				if err != nil || method != test.method || len(stored) > len(test.plain) {
					t.Fatalf("%s, level %d: method %d, %d bytes, %v", test.name, l, method, len(stored), err)
				}
				stored = bytes.Clone(stored)
				f := Frame{Plain: uint32(len(test.plain)), Method: method}
				back, err := newCodec().decompress(make([]byte, 0, f.Plain), stored, f)
				if err != nil || !bytes.Equal(back, test.plain) {
					t.Fatalf("%s, level %d does not come back: %v", test.name, l, err)
				}
			}
		}
	}
}

// Noise is not even tried.
func TestIncompressible(t *testing.T) {
	for _, test := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"noise", noise(1, 1<<20), true},
		{"noise, another", noise(77, 16<<10), true},
		{"too small to tell", noise(1, 16<<10-1), false},
		{"noise of 7 bits", func() []byte {
			b := noise(1, 1<<20)
			for i := range b {
				b[i] &= 0x7f
			}
			return b
		}(), false},
		{"zeros", make([]byte, 1<<20), false},
		{"half noise", append(noise(1, 512<<10), make([]byte, 512<<10)...), false},
		{"empty", nil, false},
	} {
		if got := incompressible(test.b); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// A compressor that errs is found out before anything is written: here its output belongs to other data.
func TestCompressorIsChecked(t *testing.T) {
	text := bytes.Repeat([]byte("what went in is not what comes out\n"), 100)
	c := newCodec()
	bad, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderDict(dictionary(t)))
	if err != nil {
		t.Fatal(err)
	}
	c.encoders[Fastest] = bad
	if _, _, err := compress(c, text, Fastest); !errors.Is(err, errCompressor) {
		t.Errorf("compressing with a dictionary that no reader has: %v", err)
	}
}

func dictionary(t *testing.T) []byte {
	t.Helper()
	samples := [][]byte{}
	for i := range 20 {
		samples = append(samples, append(chunk(uint64(i), 200), "what went in is not what comes out\n"...))
	}
	d, err := zstd.BuildDict(zstd.BuildDictOptions{ID: 7, Contents: samples, History: bytes.Join(samples, nil)[:1000], Offsets: [3]int{1, 4, 8}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A frame that would decompress to more than it says is cut off, not allocated.
func TestDecompressIsBounded(t *testing.T) {
	e, _ := zstd.NewWriter(nil)
	bomb := e.EncodeAll(make([]byte, 64<<20), nil)
	for _, plain := range []uint32{0, 1, 1000, maxPlain} {
		dst := make([]byte, 0, plain)
		if out, err := newCodec().decompress(dst, bomb, Frame{Plain: plain, Method: methodZstd}); !errors.Is(err, ErrDamaged) || out != nil {
			t.Errorf("64 MiB in a frame of %d: %d bytes, %v", plain, len(out), err)
		}
	}
	for _, n := range []int{0, 9, 11} {
		if _, err := newCodec().decompress(nil, make([]byte, n), Frame{Plain: 10, Method: methodStored}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes stored as 10: %v", n, err)
		}
	}
}

func TestTuner(t *testing.T) {
	tu := newTuner(Auto)
	idle, busy := tu.idle, tu.busy
	step := func(i, b time.Duration) Level {
		idle, busy = idle+i, busy+b
		tu.look(idle, busy)
		return Level(tu.current.Load())
	}
	for i, test := range []struct {
		idle, busy time.Duration
		want       Level
	}{
		{0, 0, Fastest}, {1, 9, Fastest}, {5, 5, Default}, {3, 7, Default}, {9, 1, Better}, {10, 0, Better}, {0, 10, Default}, {0, 10, Fastest}, {0, 10, Fastest},
	} {
		if got := step(test.idle, test.busy); got != test.want {
			t.Errorf("step %d: level %d", i, got)
		}
	}
	if l := newTuner(Best).level(); l != Best {
		t.Errorf("a level that was chosen is not kept: %d", l)
	}
}

// compress is a frame's stored form.
func compress(c *codec, plain []byte, l Level) (stored []byte, method uint8, err error) {
	f := &frame{plain: plain}
	err = c.compress(f, l)
	stored, method = f.stored()
	return stored, method, err
}
