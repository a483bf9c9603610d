package image

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// golden returns the images in testdata, which qemu-img 7.2 made of one disk, by name.
func golden(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	names, err := filepath.Glob("testdata/*.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(name), ".gz")] = b
	}
	return all
}

func open1(t *testing.T, b []byte) *Image {
	t.Helper()
	img, err := New(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestGolden(t *testing.T) {
	all := golden(t)
	for name, b := range all {
		t.Run(name, func(t *testing.T) { sameBytes(t, open1(t, b), all["raw"]) })
	}
}

// The first footer of a VHD does for a lost last one, the second header of a VHDX for a lost first one.
func TestCopies(t *testing.T) {
	all := golden(t)
	b := slices.Clone(all["dynamic.vhd"])
	sameBytes(t, open1(t, b[:len(b)-512]), all["raw"])
	b[70]++
	sameBytes(t, open1(t, b), all["raw"])
	for _, at := range []int{64 << 10, 192 << 10} {
		b := slices.Clone(all["dynamic.vhdx"])
		clear(b[at : at+100])
		sameBytes(t, open1(t, b), all["raw"])
	}
}

func TestRefusedByHead(t *testing.T) {
	all := golden(t)
	be := binary.BigEndian
	for name, test := range map[string]struct {
		image string
		patch func(b []byte)
		want  error
	}{
		"qcow2 encrypted":      {"plain.qcow2", func(b []byte) { b[35] = 2 }, ErrNotRead},
		"qcow2 marked corrupt": {"plain.qcow2", func(b []byte) { b[79] |= 2 }, ErrDamaged},
		"qcow2 of the future":  {"plain.qcow2", func(b []byte) { b[78] = 1 }, ErrNotRead},
		"qcow2 version 1":      {"plain.qcow2", func(b []byte) { b[7] = 1 }, ErrNotRead},
		"VHD differencing": {"dynamic.vhd", func(b []byte) {
			for _, f := range [][]byte{b[:512], b[len(b)-512:]} {
				f[63] = 4
				be.PutUint32(f[64:], checksum(f, 64))
			}
		}, ErrNotRead},
		"VHD without a beginning": {"dynamic.vhd", func(b []byte) { clear(b[:512]) }, ErrDamaged},
		"VHDX without headers":    {"dynamic.vhdx", func(b []byte) { clear(b[64<<10 : 192<<10]) }, ErrDamaged},
		"VHDX without regions":    {"dynamic.vhdx", func(b []byte) { clear(b[192<<10 : 320<<10]) }, ErrDamaged},
		"VHDX whose log is lost":  {"dynamic.vhdx", func(b []byte) { setLog(b, 1) }, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			b := slices.Clone(all[test.image])
			test.patch(b)
			if _, err := New(bytes.NewReader(b), int64(len(b))); !errors.Is(err, test.want) {
				t.Errorf("%v, not %v", err, test.want)
			}
		})
	}
}

// seal puts the checksum into a structure of a VHDX.
func seal(b []byte) {
	binary.LittleEndian.PutUint32(b[4:], 0)
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b, castagnoli))
}

// setLog makes the log of a VHDX one that has to be played back, and returns it.
func setLog(b []byte, id byte) []byte {
	for _, at := range []int{64 << 10, 128 << 10} {
		b[at+48] = id
		seal(b[at : at+vhdxHeader])
	}
	h := b[64<<10:]
	at, size := binary.LittleEndian.Uint64(h[72:]), binary.LittleEndian.Uint32(h[68:])
	return b[at : at+uint64(size)]
}

// logEntry makes an entry that writes sectors of 4 KiB, or zeros where data is nil, to places.
func logEntry(id byte, sequence uint64, tail uint32, end uint64, places []uint64, data [][]byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, (64+32*len(places)+logSector-1)/logSector*logSector)
	copy(b, "loge")
	le.PutUint32(b[12:], tail)
	le.PutUint64(b[16:], sequence)
	le.PutUint32(b[24:], uint32(len(places)))
	b[32] = id
	le.PutUint64(b[48:], end)
	le.PutUint64(b[56:], end)
	for i, at := range places {
		d := b[64+32*i:]
		le.PutUint64(d[16:], at)
		le.PutUint64(d[24:], sequence)
		if data[i] == nil {
			copy(d, "zero")
			le.PutUint64(d[8:], logSector)
			continue
		}
		copy(d, "desc")
		copy(d[4:8], data[i][4092:])
		copy(d[8:16], data[i])
		s := slices.Clone(data[i])
		copy(s, "data")
		le.PutUint32(s[4:], uint32(sequence>>32))
		le.PutUint32(s[4092:], uint32(sequence))
		b = append(b, s...)
	}
	le.PutUint32(b[8:], uint32(len(b)))
	seal(b)
	return b
}

// A machine stopped while the table of blocks was being written: what is in the file is garbage, what counts is in the log.
func TestVHDXLog(t *testing.T) {
	all := golden(t)
	const first = uint64(1)<<40 + 7
	b := slices.Clone(all["dynamic.vhdx"])
	img := open1(t, b)
	table := int64(bytes.Index(b, img.disk.(*vhdx).table))
	sector := table / logSector * logSector
	good := slices.Clone(b[sector : sector+logSector])
	garbage := bytes.Repeat([]byte{0xab}, logSector)
	copy(b[sector:], garbage)
	log, end := setLog(b, 9), uint64(len(b))
	at := 0
	put := func(e []byte) {
		n := copy(log[at%len(log):], e)
		copy(log, e[n:])
		at = (at + len(e)) % len(log)
	}
	at = len(log) - 3*logSector // it goes on at the beginning
	tail := uint32(at)
	put(logEntry(9, first, tail, end, []uint64{uint64(sector), 4 << 30}, [][]byte{garbage, nil}))
	put(logEntry(9, first+1, tail, end, []uint64{uint64(sector), 5 << 30}, [][]byte{good, good}))
	put(logEntry(9, first+2, tail, end, []uint64{6 << 30}, [][]byte{nil}))
	last := at
	put(logEntry(9, first+3, tail, end, []uint64{uint64(sector)}, [][]byte{garbage})) // not whole
	log[last+logSector+50]++
	put(logEntry(8, first+4, tail, end, []uint64{uint64(sector)}, [][]byte{garbage})) // of another log
	sameBytes(t, open1(t, b), all["raw"])
}

// FuzzImage changes bytes in the tables of images that are sound, and has checksums put right.
func FuzzImage(f *testing.F) {
	all := golden(f)
	names := []string{"plain.qcow2", "packed.qcow2", "parts.qcow2", "dynamic.vhd", "fixed.vhd", "dynamic.vhdx", "raw"}
	for i := range names {
		f.Add(byte(i), []byte{0, 0, 0, 0})
		f.Add(byte(i), []byte{0, 1, 64, 9, 3, 0, 3, 200})
	}
	f.Fuzz(func(t *testing.T, which byte, patches []byte) {
		name := names[int(which)%len(names)]
		b := slices.Clone(all[name])
		zones := []int{0, 512, 4096, 8192, 64 << 10, 192 << 10, 1 << 20, 2 << 20, 3 << 20, len(b) - 512}
		for ; len(patches) >= 4; patches = patches[4:] {
			if at := zones[int(patches[0])%len(zones)] + int(patches[1])<<8 + int(patches[2]); at < len(b) {
				b[at] = patches[3]
			}
		}
		switch filepath.Ext(name) {
		case ".vhd":
			for _, foot := range [][]byte{b[:512], b[len(b)-512:]} {
				binary.BigEndian.PutUint32(foot[64:], checksum(foot, 64))
			}
			if name == "dynamic.vhd" {
				binary.BigEndian.PutUint32(b[512+36:], checksum(b[512:1536], 36))
			}
		case ".vhdx":
			for _, at := range []int{64 << 10, 128 << 10} {
				seal(b[at : at+vhdxHeader])
			}
			for _, at := range []int{192 << 10, 256 << 10} {
				seal(b[at : at+vhdxTable])
			}
		}
		img, err := New(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		p := make([]byte, 100000)
		for _, at := range []int64{0, 299000, img.Size() - 100, 1 << 40} {
			if n, err := img.ReadAt(p, at); n < len(p) && err == nil {
				t.Errorf("%d bytes at %d, and no error", n, at)
			}
		}
		img.Partitions()
		img.Volume(0)
	})
}
