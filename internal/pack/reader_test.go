package pack

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"

	"waybill/manifest"
)

// Who opens what: the recovery key everything, the machine its catalogue and the tables of its data.
func TestKeys(t *testing.T) {
	for _, test := range []struct {
		name          string
		keys          Keys
		class         manifest.Class
		table, frames bool
	}{
		{"recovery", Keys{Recovery: recoveryKey}, manifest.Data, true, true},
		{"recovery", Keys{Recovery: recoveryKey}, manifest.Catalogue, true, true},
		{"machine", Keys{Machine: machineKey}, manifest.Data, true, false},
		{"machine", Keys{Machine: machineKey}, manifest.Catalogue, true, true},
		{"both", Keys{recoveryKey, machineKey}, manifest.Data, true, true},
		{"another recovery key", Keys{foreignKey, machineKey}, manifest.Data, true, false},
		{"another recovery key", Keys{foreignKey, machineKey}, manifest.Catalogue, true, true},
		{"another machine", Keys{Machine: foreignKey}, manifest.Catalogue, false, false},
		{"keys in each other's place", Keys{machineKey, recoveryKey}, manifest.Catalogue, false, false},
		{"none", Keys{}, manifest.Data, false, false},
		{"none", Keys{}, manifest.Catalogue, false, false},
	} {
		b := goldenPack(t, test.class)
		r, err := Open(bytes.NewReader(b), int64(len(b)), test.class, test.keys)
		if (err == nil) != test.table || err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("%s: opening a %s pack: %v", test.name, test.class, err)
		}
		if !test.table {
			continue
		}
		if r.Class != test.class || r.CanReadFrames() != test.frames {
			t.Errorf("%s: class %s, frames %v", test.name, r.Class, r.CanReadFrames())
		}
		table, err := r.Table()
		if err != nil {
			t.Fatalf("%s: the table of a %s pack: %v", test.name, test.class, err)
		}
		for f := range table.All() {
			_, err := r.Frame(NewDecoder(), f, nil)
			if (err == nil) != test.frames || err != nil && !errors.Is(err, ErrKey) {
				t.Errorf("%s: a frame of a %s pack: %v", test.name, test.class, err)
			}
		}
	}
}

// A frame's line that is not true, as an old index may have it, is damage and nothing worse.
func TestFrameLines(t *testing.T) {
	b := goldenPack(t, manifest.Data)
	r, err := Open(bytes.NewReader(b), int64(len(b)), manifest.Data, Keys{Recovery: recoveryKey})
	if err != nil {
		t.Fatal(err)
	}
	table, _ := r.Table()
	var good Frame
	for good = range table.All() {
		break
	}
	d := NewDecoder()
	if _, err := r.Frame(d, good, make([]byte, 0, 10)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Frame){
		"number":         func(f *Frame) { f.Number++ },
		"offset":         func(f *Frame) { f.Offset++ },
		"offset 0":       func(f *Frame) { f.Offset = 0 },
		"offset beyond":  func(f *Frame) { f.Offset = 1<<32 - 1 },
		"sealed":         func(f *Frame) { f.Sealed-- },
		"sealed 0":       func(f *Frame) { f.Sealed = 0 },
		"sealed beyond":  func(f *Frame) { f.Sealed += 100 },
		"sealed huge":    func(f *Frame) { f.Sealed = 1<<32 - 1 },
		"plain":          func(f *Frame) { f.Plain++ },
		"plain 0":        func(f *Frame) { f.Plain = 0 },
		"plain huge":     func(f *Frame) { f.Plain = 1<<32 - 1 },
		"method":         func(f *Frame) { f.Method = methodZstd },
		"unknown method": func(f *Frame) { f.Method = 9 },
	} {
		f := good
		change(&f)
		if out, err := r.Frame(d, f, nil); !errors.Is(err, ErrDamaged) || out != nil {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
	}
	if _, err := r.OpenFrame(d, good, make([]byte, good.Sealed-1), nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("sealed bytes of another length: %v", err)
	}
}

// A source that fails is not a damaged pack; one that ends early is.
func TestUnreadableSource(t *testing.T) {
	b := goldenPack(t, manifest.Data)
	for _, test := range []struct {
		err, want error
	}{{fs.ErrPermission, fs.ErrPermission}, {fs.ErrNotExist, fs.ErrNotExist}, {io.EOF, ErrDamaged}, {nil, ErrDamaged}} {
		for k := range 3 {
			src := &failing{b: b, left: k, err: test.err}
			err := readAll(src, int64(len(b)))
			if !errors.Is(err, test.want) || test.want != ErrDamaged && errors.Is(err, ErrDamaged) {
				t.Errorf("read %d fails with %v: %v", k, test.err, err)
			}
		}
	}
}

func readAll(src io.ReaderAt, size int64) error {
	r, err := Open(src, size, manifest.Data, Keys{Recovery: recoveryKey})
	if err != nil {
		return err
	}
	table, err := r.Table()
	if err != nil {
		return err
	}
	for f := range table.All() {
		if _, err := r.Frame(NewDecoder(), f, nil); err != nil {
			return err
		}
	}
	return nil
}

// A failing source reads well a few times, and then short.
type failing struct {
	b    []byte
	left int
	err  error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.left--; f.left < 0 {
		return len(p) / 2, f.err
	}
	return bytes.NewReader(f.b).ReadAt(p, off)
}

// A pack is opened by one read, and its table comes with it if it is no longer than expected, else by one more of what is missing.
func TestReads(t *testing.T) {
	b, want := store1(t, manifest.Data, func(s *Stream) {
		for i := range 3000 {
			s.Add(noise(uint64(i), 50))
		}
	})
	size := int64(len(b))
	parsed, err := parseTrailer(b[size-trailerSize:], size)
	if err != nil {
		t.Fatal(err)
	}
	after := size - parsed.table - parsed.tableLen
	for _, test := range []struct {
		expected    int64
		reads, more int64
	}{
		{0, 2, parsed.tableLen + after - maxTail},
		{10_000, 2, parsed.tableLen + after - maxTail - 10_000},
		{parsed.tableLen + after - maxTail, 1, 0},
		{parsed.tableLen, 1, 0},
		{parsed.tableLen + 100, 1, 0},
		{size, 1, 0},
		{1 << 40, 1, 0},
	} {
		src := &counted{b: b}
		r, table, err := OpenTable(src, size, manifest.Data, Keys{Machine: machineKey}, test.expected)
		if err != nil || !bytes.Equal(table.b, want.b) || src.reads != test.reads {
			t.Errorf("expecting %d of %d bytes: %d reads, not %d, %v", test.expected, parsed.tableLen, src.reads, test.reads, err)
		}
		if n := min(size, maxTail+test.expected) + test.more; src.bytes != n {
			t.Errorf("expecting %d of %d bytes: %d read, not %d", test.expected, parsed.tableLen, src.bytes, n)
		}
		if again, err := r.Table(); err != nil || !bytes.Equal(again.b, want.b) {
			t.Errorf("the table again: %v", err)
		}
	}
	src := &counted{b: b}
	if _, err := Open(src, size, manifest.Data, Keys{Machine: machineKey}); err != nil || src.reads != 1 || src.bytes != maxTail {
		t.Errorf("%d reads of %d bytes, %v", src.reads, src.bytes, err)
	}
}

// counted counts reads.
type counted struct {
	b            []byte
	reads, bytes int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(c.b).ReadAt(p, off)
	c.reads++
	c.bytes += int64(n)
	return n, err
}
