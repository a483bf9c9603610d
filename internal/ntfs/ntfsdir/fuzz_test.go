package ntfsdir_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"waybill/internal/ntfs"
	"waybill/internal/ntfs/ntfsdir"
	"waybill/internal/source"
)

// small returns a volume that ntfs-3g made: 3 MiB, and some of everything.
func small(t testing.TB) []byte {
	f, err := os.Open("testdata/small.gz")
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

// walk looks at and reads all there is below d, and returns how much could be read.
func walk(d *source.Dir, depth int, problem func(name string, err error)) (entries int, bytes int64) {
	var l source.Listing
	var st source.Stat
	if err := d.List(&l); err != nil {
		problem(".", err)
		return 0, 0
	}
	d.SelfXattrs(nil)
	for i := range l.Len() {
		name := l.Name(i)
		err := d.Stat(&l, i, &st)
		if err == nil {
			entries++
			_, err = d.Xattrs(name, nil)
		}
		switch {
		case err != nil:
		case st.Kind == source.Directory && depth < 20:
			var sub *source.Dir
			if sub, err = d.OpenDir(name); err == nil {
				n, m := walk(sub, depth+1, problem)
				entries, bytes = entries+n, bytes+m
			}
		case st.Kind == source.Regular:
			var n int64
			n, err = read(d, name)
			bytes += n
		case st.Kind == source.Symlink:
			_, err = d.Readlink(name)
		}
		if err != nil {
			problem(string(name), err)
		}
	}
	return entries, bytes
}

// read reads the data of a file, up to a MiB.
func read(d *source.Dir, name []byte) (total int64, err error) {
	f, err := d.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	p := make([]byte, 70000)
	for off := int64(0); total < 1<<20; {
		start, end, err := f.NextData(off)
		if err == io.EOF {
			return total, nil
		}
		if err != nil || start < off || end <= start || end > f.Opened().Size {
			return total, errors.Join(err, errBadData)
		}
		n, err := f.ReadAt(p[:min(int64(len(p)), end-start)], start)
		if err != nil && err != io.EOF {
			return total, err
		}
		if n == 0 {
			return total, errBadData
		}
		total, off = total+int64(n), start+int64(n)
	}
	return total, nil
}

var errBadData = errors.New("a stretch of data makes no sense")

func TestSmall(t *testing.T) {
	b := small(t)
	v, err := ntfs.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := ntfsdir.Open(v)
	if err != nil {
		t.Fatal(err)
	}
	n, size := walk(d, 0, func(name string, err error) { t.Errorf("%s: %v", name, err) })
	if n != 160 || size != 887974 {
		t.Errorf("%d entries, %d bytes", n, size)
	}
}

// FuzzVolume changes bytes of a sound volume where its structures are. Whatever comes of it, there is no panic, no end without an error, and
// no endless reading.
func FuzzVolume(f *testing.F) {
	sound := small(f)
	var zones []int // sectors with records and blocks of indexes
	for at := 0; at < len(sound); at += 512 {
		if s := string(sound[at : at+4]); s == "FILE" || s == "INDX" || at == 0 {
			zones = append(zones, at, at+512)
		}
	}
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte{0, 2, 0, 20, 9, 0, 90, 1, 30, 255})
	f.Fuzz(func(t *testing.T, patches []byte) {
		b := slices.Clone(sound)
		for ; len(patches) >= 5; patches = patches[5:] {
			zone := zones[(int(patches[0])<<8|int(patches[1]))%len(zones)]
			b[zone+(int(patches[2])<<8|int(patches[3]))%510] = patches[4]
		}
		v, err := ntfs.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		v.State()
		v.Each(t.Context(), func(r *ntfs.Record) error {
			v.SecurityOf(r)
			r.List(func(e *ntfs.DirEntry) error {
				if strings.ContainsRune(string(e.Name), 0) {
					return nil
				}
				_, err := r.Find(e.Name)
				return err
			})
			return nil
		})
		d, err := ntfsdir.Open(v)
		if err != nil {
			return
		}
		walk(d, 0, func(name string, err error) {
			if errors.Is(err, errBadData) {
				t.Errorf("%q: %v", name, err)
			}
		})
	})
}
