package ntfs

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// small returns a volume of 3 MiB with clusters of 512 bytes and some of everything.
func small(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open("ntfsdir/testdata/small.gz")
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
	return b
}

// at returns where a record of a volume begins.
func at(t testing.TB, v *Volume, n int64) int64 {
	t.Helper()
	r := v.mft.runs[runAt(v.mft.runs, n*v.boot.record/v.boot.cluster)]
	return r.lcn*v.boot.cluster + n*v.boot.record - r.vcn*v.boot.cluster
}

func reopen(b []byte) (*Volume, error) { return Open(bytes.NewReader(b), int64(len(b))) }

// What is there twice may be damaged once; what is there once is missed where it is asked for.
func TestDamage(t *testing.T) {
	sound, err := reopen(small(t))
	if err != nil {
		t.Fatal(err)
	}
	big, err := sound.Resolve("big")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		damage      func(b []byte)
		open, list  error
		file, audit error
	}{
		"none":             {damage: func(b []byte) {}},
		"boot sector":      {damage: func(b []byte) { clear(b[:512]) }},
		"both of them":     {damage: func(b []byte) { clear(b[:512]); clear(b[len(b)-512:]) }, open: ErrDamaged},
		"first record":     {damage: func(b []byte) { clear(b[at(t, sound, 0):][:1024]) }},
		"first two":        {damage: func(b []byte) { clear(b[at(t, sound, 0):][:1024]); clear(b[sound.boot.mirror*512:][:1024]) }, open: ErrDamaged},
		"root":             {damage: func(b []byte) { copy(b[at(t, sound, 5):], "BAAD") }, open: ErrDamaged},
		"a torn record":    {damage: func(b []byte) { b[at(t, sound, int64(big.Record()))+510]++ }, file: ErrDamaged, audit: ErrDamaged},
		"another's record": {damage: func(b []byte) { b[at(t, sound, int64(big.Record()))+0x2c]++ }, file: ErrDamaged, audit: ErrDamaged},
		"reused record":    {damage: func(b []byte) { b[at(t, sound, int64(big.Record()))+0x10]++ }, file: fs.ErrNotExist},
		"a volume cut off": {damage: func(b []byte) { binary.LittleEndian.PutUint64(b[0x28:], 1<<40); clear(b[len(b)-512:]) }, open: ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			b := small(t)
			test.damage(b)
			v, err := reopen(b)
			if !errors.Is(err, test.open) {
				t.Fatalf("opening: %v, not %v", err, test.open)
			}
			if err != nil {
				return
			}
			if err := v.List(v.Root(), func(*DirEntry) error { return nil }); !errors.Is(err, test.list) {
				t.Errorf("listing: %v, not %v", err, test.list)
			}
			if _, err := v.Lookup(big); !errors.Is(err, test.file) {
				t.Errorf("looking up: %v, not %v", err, test.file)
			}
			if err := v.Each(t.Context(), func(*Record) error { return nil }); !errors.Is(err, test.audit) {
				t.Errorf("each: %v, not %v", err, test.audit)
			}
		})
	}
}

func TestOtherVolumes(t *testing.T) {
	for magic, want := range map[string]string{"-FVE-FS-": "BitLocker", "ReFS\x00\x00\x00\x00": "ReFS", "EXFAT   ": "no NTFS"} {
		b := small(t)
		copy(b[3:], magic)
		copy(b[len(b)-509:], magic)
		if _, err := reopen(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", magic, err)
		}
	}
}

func TestState(t *testing.T) {
	le := binary.LittleEndian
	sound, err := reopen(small(t))
	if err != nil {
		t.Fatal(err)
	}
	log, err := sound.Record(recordLog)
	if err != nil {
		t.Fatal(err)
	}
	s, err := log.Open("")
	if err != nil {
		t.Fatal(err)
	}
	restart := s.runs[0].lcn * sound.boot.cluster
	// page makes a restart page that says how the log was left.
	page := func(b []byte, lsn uint64, inUse, flags uint16) {
		clear(b[:4096])
		copy(b, "RSTR")
		le.PutUint16(b[4:], 0x1e)
		le.PutUint16(b[6:], 9)
		le.PutUint16(b[0x18:], 0x30)
		le.PutUint64(b[0x30:], lsn)
		le.PutUint16(b[0x3c:], inUse)
		le.PutUint16(b[0x3e:], flags)
	}
	for name, test := range map[string]struct {
		change func(b []byte)
		want   State
	}{
		"clean":           {func(b []byte) {}, State{}},
		"dirty":           {func(b []byte) { setDirty(t, sound, b) }, State{Dirty: true}},
		"in use":          {func(b []byte) { page(b[restart:], 1, 0, 0); page(b[restart+4096:], 2, 0, 0) }, State{Unclean: true}},
		"in use, clean":   {func(b []byte) { page(b[restart:], 1, 0, 2); page(b[restart+4096:], 2, 0, 2) }, State{}},
		"left clean last": {func(b []byte) { page(b[restart:], 8, 0xffff, 2); page(b[restart+4096:], 7, 0, 0) }, State{}},
		"left in use":     {func(b []byte) { page(b[restart:], 6, 0xffff, 2); page(b[restart+4096:], 7, 0, 0) }, State{Unclean: true}},
	} {
		t.Run(name, func(t *testing.T) {
			b := small(t)
			test.change(b)
			v, err := reopen(b)
			if err != nil {
				t.Fatal(err)
			}
			if state, err := v.State(); err != nil || state != test.want || state.Clean() != (state == State{}) {
				t.Errorf("%+v (%v), %v, not %+v", state, state, err, test.want)
			}
		})
	}
}

// setDirty sets the flag in $VOLUME_INFORMATION.
func setDirty(t *testing.T, v *Volume, b []byte) {
	r, err := v.Record(recordVolume)
	if err != nil {
		t.Fatal(err)
	}
	value := slices.Clone(r.find(attrVolumeInfo, "").value)
	i := bytes.Index(b[at(t, v, recordVolume):][:1024], value)
	if i < 0 {
		t.Fatal("the record isn't where it should be")
	}
	b[at(t, v, recordVolume)+int64(i)+10] |= 1
}

// Names that aren't UTF-16 keep what they are, there and back.
func TestNames(t *testing.T) {
	for _, units := range [][]uint16{{'a'}, {0xe9, 0x20ac}, {0xd834, 0xdd1e}, {0xd834}, {0xdd1e, 0xd834}, {0xd834, 'x', 0xdd1e}, {0xffff, 0xfffd}, {0xdbff, 0xdfff, 0xdbff}} {
		var b []byte
		for _, u := range units {
			b = binary.LittleEndian.AppendUint16(b, u)
		}
		s := appendWTF8(nil, b)
		if got := appendUTF16(nil, s); !slices.Equal(got, units) {
			t.Errorf("%x became %x and then %x", units, s, got)
		}
	}
}
