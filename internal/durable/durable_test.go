package durable

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func open(t testing.TB, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func put(t testing.TB, d *Dir, name, content string) {
	t.Helper()
	if err := d.Put(t.Context(), name, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

// files is the tree's real content, temporary files included.
func files(t testing.TB, d *Dir) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(d.Path(), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(d.Path(), path)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// TestOperations pins what is done to the file system, in which order: that is what power loss is survived by.
func TestOperations(t *testing.T) {
	var log bytes.Buffer
	temps := map[string]string{}
	d := open(t, t.TempDir())
	d.Trace(func(op string) {
		op = regexp.MustCompile(`\.tmp-[0-9a-f]+`).ReplaceAllStringFunc(op, func(name string) string {
			if temps[name] == "" {
				temps[name] = fmt.Sprintf(".tmp-%d", len(temps)+1)
			}
			return temps[name]
		})
		fmt.Fprintln(&log, "  ", op)
	})
	do := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		fmt.Fprintln(&log, "--", what)
	}
	ctx := t.Context()
	do("put a/b/one", d.Put(ctx, "a/b/one", strings.NewReader("1")), nil)
	do("put a/b/two", d.Put(ctx, "a/b/two", strings.NewReader("2")), nil)
	do("put a/b/two again", d.Put(ctx, "a/b/two", strings.NewReader("3")), fs.ErrExist)
	do("replace label.json", d.Replace("label.json", []byte("{}")), nil)
	f, err := d.Create()
	do("create", err, nil)
	f.Write([]byte("x"))
	do("commit a/c/three", f.Commit("a/c/three"), nil)
	f, err = d.Create()
	do("create", err, nil)
	do("commit a/c/three again", f.Commit("a/c/three"), fs.ErrExist)
	f, err = d.Create()
	do("create", err, nil)
	f.Abort()
	do("abort", nil, nil)
	do("remove a/c/three", d.Remove(ctx, "a/c/three"), nil)

	golden := filepath.Join("testdata", "operations.golden")
	if *update {
		if err := os.WriteFile(golden, log.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := log.String(); got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("the operations are\n%s", got)
	}
	if got := files(t, d); got != "a/b/one a/b/two label.json" {
		t.Errorf("the tree is %s", got)
	}
}

// An existing directory may not be durable yet: whoever made it was perhaps stopped before it could sync.
func TestExistingDirectoryIsSynced(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o777); err != nil {
		t.Fatal(err)
	}
	var ops []string
	d := open(t, dir)
	d.Trace(func(op string) { ops = append(ops, op) })
	put(t, d, "a/b/x", "")
	if got := strings.Join(ops, ", "); !strings.Contains(got, "sync directory ., sync directory a, publish") {
		t.Errorf("the operations are %s", got)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "a/b.c", "README.txt", "SHA256SUMS", "0_-.x", strings.Repeat("a", 199)} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", "../a", "a/../b", "/a", "a/", "a//b", "a/./b", "A", "a\\b", "a:b", "c:", "a b", "a\x00", "ä",
		"a/README.txt", ".tmp-1", "a/.tmp-1", ".tmp-1/a", "a.", "a./b", strings.Repeat("a", 200)} {
		if err := CheckName(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPutFailingBody(t *testing.T) {
	d := open(t, t.TempDir())
	boom := errors.New("boom")
	err := d.Put(t.Context(), "a/x", &failing{strings.NewReader("half"), boom})
	if !errors.Is(err, boom) {
		t.Errorf("put: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Put(ctx, "a/x", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("put when cancelled: %v", err)
	}
	if got := files(t, d); got != "" {
		t.Errorf("the tree is %s", got)
	}
}

// failing fails where it should end.
type failing struct {
	*strings.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	if n, _ := f.Reader.Read(p); n > 0 {
		return n, nil
	}
	return 0, f.err
}

func TestReplaceIsRead(t *testing.T) {
	d := open(t, t.TempDir())
	for _, content := range []string{"first", "2nd"} {
		if err := d.Replace("label.json", []byte(content)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(content))
		if n, err := d.ReadAt(t.Context(), "label.json", b, 0); n != len(b) || string(b) != content {
			t.Errorf("read %q, %v", b[:n], err)
		}
	}
}

// What is replaced stays when the body fails, and nothing else is left.
func TestPutOver(t *testing.T) {
	d := open(t, t.TempDir())
	is := func(want string) {
		t.Helper()
		b := make([]byte, 20)
		if n, err := d.ReadAt(t.Context(), "a/x", b, 0); string(b[:n]) != want {
			t.Errorf("read %q, %v", b[:n], err)
		}
	}
	for _, content := range []string{"first", "2nd"} {
		if err := d.PutOver(t.Context(), "a/x", strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		is(content)
	}
	bad := errors.New("bad")
	if err := d.PutOver(t.Context(), "a/x", struct {
		io.Reader
		io.Seeker
	}{io.MultiReader(strings.NewReader("third"), iotest.ErrReader(bad)), nil}); !errors.Is(err, bad) {
		t.Error(err)
	}
	is("2nd")
	if list, err := os.ReadDir(d.Path()); len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
}

// TestSweep has another process hold a file while the tree is swept, and be killed.
func TestSweep(t *testing.T) {
	if dir := os.Getenv("DURABLE_TEST_WRITER"); dir != "" {
		f, err := open(t, dir).Create()
		fmt.Println("created", err)
		f.Write([]byte("half"))
		select {}
	}
	d := open(t, t.TempDir())
	mine, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSweep$")
	writer.Env = append(os.Environ(), "DURABLE_TEST_WRITER="+d.Path())
	out, err := writer.StdoutPipe()
	if err == nil {
		err = writer.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 14)
	if n, err := out.Read(line); string(line[:n]) != "created <nil>\n" {
		t.Fatalf("the writer: %q, %v", line[:n], err)
	}
	count := func() int { return strings.Count(files(t, d), tempPrefix) }
	if err := d.Sweep(); err != nil || count() != 2 {
		t.Errorf("with two writers alive: %v, %d files", err, count())
	}
	writer.Process.Kill()
	writer.Wait()
	if err := d.Sweep(); err != nil || count() != 1 {
		t.Errorf("with one writer killed: %v, %d files", err, count())
	}
	if err := mine.Commit("x"); err != nil {
		t.Error(err)
	}
	if got := files(t, d); got != "x" {
		t.Errorf("the tree is %s", got)
	}
}

// TestSweepWhileWriting creates and sweeps at once; no writer may lose its file.
func TestSweepWhileWriting(t *testing.T) {
	d := open(t, t.TempDir())
	const writers, each = 4, 50
	done := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := range each {
				if err := d.Put(context.Background(), fmt.Sprintf("w%d/%d", w, i), strings.NewReader("x")); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for ended := 0; ended < writers; {
		select {
		case err := <-done:
			ended++
			if err != nil {
				t.Error(err)
			}
		default:
			if err := d.Sweep(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := strings.Count(files(t, d), "w"); n != writers*each {
		t.Errorf("%d files of %d", n, writers*each)
	}
}

// The files read last stay open, and no others.
func TestHandles(t *testing.T) {
	d := open(t, t.TempDir())
	for i := range 2 * maxHandles {
		put(t, d, fmt.Sprintf("d/%d", i), fmt.Sprint(i))
	}
	b := make([]byte, 10)
	for i := range 2 * maxHandles {
		if n, _ := d.ReadAt(t.Context(), fmt.Sprintf("d/%d", i), b, 0); string(b[:n]) != fmt.Sprint(i) {
			t.Errorf("file %d reads %q", i, b[:n])
		}
	}
	if n := d.open.order.Len(); n != maxHandles {
		t.Errorf("%d handles are kept", n)
	}
	if err := d.Remove(t.Context(), "d/127"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadAt(t.Context(), "d/127", b, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading what was removed: %v", err)
	}
}
