package pack

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"
)

// A Level trades time for size. Auto follows whatever is the bottleneck.
type Level int

// The levels, from the fastest to the smallest.
const (
	Auto Level = iota
	Fastest
	Default
	Better
	Best
)

// ParseLevel reads a level's name, as users write it.
func ParseLevel(s string) (Level, error) {
	for i, name := range []string{"auto", "fastest", "default", "better", "best"} {
		if s == name {
			return Level(i), nil
		}
	}
	return 0, fmt.Errorf("compression %q is none of auto, fastest, default, better, best", s)
}

// errCompressor says that a frame did not come back from the compressor as it went in.
var errCompressor = errors.New("compressed data does not decompress to what it was made from; nothing was written from it")

// A codec compresses frames for one worker. It keeps its encoders and buffers from
// frame to frame and is not safe for concurrent use.
type codec struct {
	encoders [Best + 1]*zstd.Encoder
	decoder  *zstd.Decoder
	check    []byte
}

func newCodec() *codec {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // fixed options
	}
	return &codec{decoder: d}
}

func (c *codec) encoder(l Level) *zstd.Encoder {
	if c.encoders[l] == nil {
		speed := map[Level]zstd.EncoderLevel{Fastest: zstd.SpeedFastest, Default: zstd.SpeedDefault,
			Better: zstd.SpeedBetterCompression, Best: zstd.SpeedBestCompression}[l]
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithWindowSize(4<<20))
		if err != nil {
			panic(err)
		}
		c.encoders[l] = e
	}
	return c.encoders[l]
}

// compress fills f.zstd, or leaves it empty when that saves nothing. It
// decodes what it encoded and compares: a compressor's bug must not become the backup's.
func (c *codec) compress(f *frame, l Level) error {
	f.zstd = f.zstd[:0]
	if incompressible(f.plain) {
		return nil
	}
	out := c.encoder(l).EncodeAll(f.plain, f.zstd)
	if len(out) >= len(f.plain)-len(f.plain)/32 {
		f.zstd = out[:0]
		return nil
	}
	if cap(c.check) < len(f.plain) {
		c.check = make([]byte, 0, len(f.plain)+len(f.plain)/4)
	}
	back, err := c.decoder.DecodeAll(out, c.check[:0])
	if err != nil || !bytes.Equal(back, f.plain) {
		return errCompressor
	}
	f.zstd = out
	return nil
}

// decompress opens a frame's stored form into dst, which must have room for all of it.
func (c *codec) decompress(dst, stored []byte, f Frame) ([]byte, error) {
	if f.Method == methodStored {
		if len(stored) != int(f.Plain) {
			return nil, damaged("a stored frame of the wrong length")
		}
		return append(dst[:0], stored...), nil
	}
	out, err := c.decoder.DecodeAll(stored, dst[:0])
	if err != nil || len(out) != int(f.Plain) {
		return nil, damaged("a frame that does not decompress")
	}
	return out, nil
}

// incompressible probes 16 samples of 512 bytes: when their bytes are spread as evenly
// as noise, compressed and encrypted data are, it is not worth trying.
func incompressible(b []byte) bool {
	const samples, size = 16, 512
	if len(b) < 2*samples*size {
		return false
	}
	var count [256]uint32
	step := len(b) / samples
	for i := range samples {
		for _, v := range b[i*step:][:size] {
			count[v]++
		}
	}
	entropy := 0.0
	for _, n := range count {
		if n > 0 {
			p := float64(n) / (samples * size)
			entropy -= p * math.Log2(p)
		}
	}
	return entropy > 7.95 // noise of this sample's size measures 7.977
}
