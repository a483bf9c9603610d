package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

func TestDir(t *testing.T) {
	root := t.TempDir()
	odd := []string{"b\xff", "c\nd"}
	if runtime.GOOS == "windows" {
		odd = []string{"b\u00ff\U0001f600", "c;d"}
	}
	want := []string{"a", odd[0], odd[1], "dir", "link", "z"}
	for _, name := range []string{"z", odd[0], "a", odd[1]} {
		write(t, filepath.Join(root, name), []byte("content of "+name))
	}
	if err := errors.Join(os.Mkdir(filepath.Join(root, "dir"), 0o750), os.Symlink("no/where", filepath.Join(root, "link"))); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(root, "link")); err != nil {
		want = slices.DeleteFunc(want, func(name string) bool { return name == "link" }) // Wine says it made one
	}
	d := open(t, root)
	var l Listing
	for range 2 { // a second listing begins anew
		if err := d.List(&l); err != nil {
			t.Fatal(err)
		}
		if got := names(&l); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("listed %q, want %q", got, want)
		}
	}
	kinds := map[string]Kind{"dir": Directory, "link": Symlink}
	for i, name := range want {
		kind := max(kinds[name], Regular)
		var st, again Stat
		if err := errors.Join(d.Stat(&l, i, &st), d.StatName([]byte(name), &again)); err != nil {
			t.Fatal(err)
		}
		if st.Kind != kind || l.Kind(i) != kind || st != again {
			t.Errorf("%q: stat %+v, listed as %d, stat by name %+v", name, st, l.Kind(i), again)
		}
		if j, ok := l.Find([]byte(name)); j != i || !ok {
			t.Errorf("found %q at %d, %v, want %d", name, j, ok, i)
		}
		f, err := d.Open([]byte(name))
		if kind != Regular {
			if !errors.Is(err, ErrReplaced) {
				t.Errorf("opening %q: %v, want ErrReplaced", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil || string(b) != "content of "+name {
			t.Errorf("%q: read %q, %v", name, b, err)
		}
		if *f.Opened() != st {
			t.Errorf("%q: opened %+v, want %+v", name, *f.Opened(), st)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if target, err := d.Readlink([]byte("link")); slices.Contains(want, "link") && (err != nil || string(target) != "no/where") {
		t.Errorf("link to %q, %v", target, err)
	}
	if _, err := d.Readlink([]byte("a")); err == nil {
		t.Error("read a file as a link")
	}
	sub, err := d.OpenDir([]byte("dir"))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if err := sub.List(&l); err != nil || l.Len() != 0 {
		t.Errorf("empty directory has %d entries, %v", l.Len(), err)
	}
	if st, err := sub.Self(); err != nil || st.Kind != Directory {
		t.Errorf("directory: %+v, %v", st, err)
	}
	for _, name := range []string{"a", "link"} {
		if _, err := d.OpenDir([]byte(name)); slices.Contains(want, name) && !errors.Is(err, ErrReplaced) {
			t.Errorf("opening %s as a directory: %v, want ErrReplaced", name, err)
		}
	}
}

func TestVanished(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "f"), nil)
	d := open(t, root)
	var l Listing
	if err := errors.Join(d.List(&l), os.Remove(filepath.Join(root, "f"))); err != nil {
		t.Fatal(err)
	}
	var st Stat
	f := []byte("f")
	_, open := d.Open(f)
	_, dir := d.OpenDir(f)
	_, link := d.Readlink(f)
	stat := d.Stat(&l, 0, &st)
	if stat == nil && runtime.GOOS == "windows" { // the listing brought it
		stat = d.StatName(f, &st)
	}
	for op, err := range map[string]error{"stat": stat, "open": open, "open directory": dir, "read link": link} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want ErrNotExist", op, err)
		}
	}
}

func TestReadAt(t *testing.T) {
	root := t.TempDir()
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	write(t, filepath.Join(root, "f"), content)
	d := open(t, root)
	f, err := d.Open([]byte("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		off, len, want int
		err            error
	}{{0, len(content), len(content), nil}, {5, 100, 100, nil}, {len(content) - 3, 10, 3, io.EOF}, {len(content), 1, 0, io.EOF}, {0, 0, 0, nil}} {
		p := make([]byte, c.len)
		n, err := f.ReadAt(p, int64(c.off))
		if n != c.want || err != c.err || !bytes.Equal(p[:n], content[c.off:c.off+n]) {
			t.Errorf("%d bytes at %d: %d, %v, want %d, %v", c.len, c.off, n, err, c.want, c.err)
		}
	}
	if start, end, err := f.NextData(0); err != nil || start != 0 || end != int64(len(content)) {
		t.Errorf("data %d to %d, %v", start, end, err)
	}
	if _, _, err := f.NextData(int64(len(content))); err != io.EOF {
		t.Errorf("data after the end: %v, want EOF", err)
	}
}

func open(t testing.TB, path string) *Dir {
	t.Helper()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func names(l *Listing) (all []string) {
	for i := range l.Len() {
		all = append(all, string(l.Name(i)))
	}
	return all
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o640); err != nil {
		t.Fatal(err)
	}
}
