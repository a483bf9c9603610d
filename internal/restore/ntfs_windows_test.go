package restore

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/windows"

	"waybill/internal/catalog"
)

// These run on Windows and, with what it has, under Wine, see internal/winetest.

func openTest(t *testing.T) (*handle, *manner, string) {
	t.Helper()
	dir := t.TempDir()
	h, err := openTarget(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, newManner(OwnersNone, nil, nil), dir
}

func put(t *testing.T, h *handle, m *manner, name string, e *catalog.Entry, content string) {
	t.Helper()
	out, err := h.create(name, e, false, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.write([]part{{0, []byte(content)}}, int64(len(content))), out.dress(e, m), out.Close()); err != nil {
		t.Fatal(err)
	}
}

func basicAt(t *testing.T, h *handle, name string) basic {
	t.Helper()
	f, err := openAt(h.self.Fd(), name, windows.FILE_READ_ATTRIBUTES, windows.FILE_OPEN, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer windows.CloseHandle(f)
	b, err := basicOf(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWindowsMetadata(t *testing.T) {
	h, m, _ := openTest(t)
	const hiddenReadOnly = windows.FILE_ATTRIBUTE_READONLY | windows.FILE_ATTRIBUTE_HIDDEN
	e := ntfsEntry(catalog.File, "f", ntfsACL, string(security()), ntfsAttrib, u32(hiddenReadOnly|attribSparse|attribCompressed), ntfsCrtime, u64(131072000000000000))
	put(t, h, m, "f", e, "content")
	b := basicAt(t, h, "f")
	if b.Attributes&hiddenReadOnly != hiddenReadOnly || b.Written != 128790414901234567 {
		t.Errorf("%+v", b)
	}
	if st, err := h.lstat("f"); err != nil || !h.same(&catalog.Entry{Kind: catalog.File, Size: 7, Mtime: e.Mtime}, &st, "f") {
		t.Errorf("it isn't known again: %+v, %v", st, err)
	}
	// An entry of another system, and a directory.
	other := ntfsEntry(catalog.File, "g")
	other.Mode = 0o444
	put(t, h, m, "g", other, "")
	if b := basicAt(t, h, "g"); b.Attributes&windows.FILE_ATTRIBUTE_READONLY == 0 {
		t.Errorf("of a read-only file: %+v", b)
	}
	sub := ntfsEntry(catalog.Directory, "sub", ntfsAttrib, u32(attribDirectory|windows.FILE_ATTRIBUTE_HIDDEN))
	if err := h.root.Mkdir("sub", 0o700); err != nil {
		t.Fatal(err)
	}
	kid, err := h.sub("sub")
	if err != nil {
		t.Fatal(err)
	}
	defer kid.Close()
	if err := kid.dress(sub, m); err != nil {
		t.Error(err)
	}
	if b := basicAt(t, h, "sub"); b.Attributes&windows.FILE_ATTRIBUTE_HIDDEN == 0 || b.Written != 128790414901234567 {
		t.Errorf("of a directory: %+v", b)
	}
}

func TestWindowsNames(t *testing.T) {
	h, m, dir := openTest(t)
	readOnly := ntfsEntry(catalog.File, "f", ntfsAttrib, u32(attribReadOnly))
	put(t, h, m, "temp1", readOnly, "first")
	put(t, h, m, "temp2", readOnly, "second")
	if err := h.publish("temp1", "f"); err != nil {
		t.Fatal(err)
	}
	if err := h.publish("temp2", "f"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name was given twice: %v", err)
	}
	has := func(want string) {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(dir, "f")); string(b) != want {
			t.Errorf("it has %q, %v, want %s", b, err, want)
		}
	}
	has("first")
	if err := h.replace("temp2", "f"); err != nil {
		t.Fatal(err)
	}
	has("second")
	if b := basicAt(t, h, "f"); b.Attributes&windows.FILE_ATTRIBUTE_READONLY == 0 {
		t.Errorf("not read-only any more: %+v", b)
	}
}

func TestWindowsStreams(t *testing.T) {
	h, m, dir := openTest(t)
	put(t, h, m, "f", ntfsEntry(catalog.File, "f", ntfsAttrib, u32(attribReadOnly)), "content")
	put(t, h, m, "temp", ntfsEntry(catalog.File, "f:s"), "beside it")
	was := basicAt(t, h, "f")
	if err := h.attach("temp", "f", "s"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "f:s")); err != nil || string(b) != "beside it" {
		t.Errorf("the stream has %q, %v", b, err)
	}
	if is := basicAt(t, h, "f"); is.Attributes != was.Attributes || is.Written != was.Written {
		t.Errorf("its file is %+v, was %+v", is, was)
	}
	if err := h.attach("temp", "none", "s"); err == nil {
		t.Error("a stream of nothing was made")
	}
}

func TestWindowsInherited(t *testing.T) {
	b := security()
	binary.LittleEndian.PutUint16(b[2:], selfRelative|daclPresent|daclInherited)
	if got := control16(inheriting(b)); got != selfRelative|daclPresent|daclInherited|daclInheritAgain {
		t.Errorf("control bits %#x", got)
	}
	if control16(b)&daclInheritAgain != 0 {
		t.Error("it was changed in place")
	}
}
