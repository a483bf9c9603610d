package restore

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/internal/catalog"
)

// mountNTFS makes a volume and mounts it with ntfs-3g.
func mountNTFS(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "volume"), filepath.Join(dir, "mount")
	if err := errors.Join(os.Mkdir(mount, 0o700), os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20)); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"mkntfs", "-F", "-q", "-Q", image}, {"ntfs-3g", "-o", "efs_raw", image, mount}} {
		if out, err := exec.CommandContext(t.Context(), c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v\n%s", c, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	return mount
}

// TestNTFSMetadata restores to NTFS what NTFS has of entries.
func TestNTFSMetadata(t *testing.T) {
	target, m := mountNTFS(t), newManner(OwnersNone, nil, nil)
	h, err := openTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	acl, link := string(security()), string(junction(`\??\C:\Users`))
	file := ntfsEntry(catalog.File, "file", ntfsACL, acl, ntfsAttrib, u32(0x23), ntfsCrtime, u64(131072000000000000))
	sub := ntfsEntry(catalog.Directory, "sub", ntfsACL, acl, ntfsAttrib, u32(0x12), ntfsCrtime, u64(131072000000000001))
	to := ntfsEntry(catalog.Symlink, "to", ntfsAttrib, u32(0x410), ntfsReparse, link)
	to.Target = []byte("/C:/Users")
	out, err := h.create("file", file, false, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.dress(file, m), out.Close(), h.root.Mkdir("sub", 0o700), h.make("to", to, m)); err != nil {
		t.Fatal(err)
	}
	kid, err := h.sub("sub")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(kid.dress(sub, m), kid.Close()); err != nil {
		t.Fatal(err)
	}
	if n := m.unkept.Load(); n != 0 {
		t.Errorf("%d entries are without", n)
	}
	for _, e := range []*catalog.Entry{file, sub, to} {
		path := filepath.Join(target, string(e.Name))
		e.EachXattr(func(name, want []byte) bool {
			b := make([]byte, 1024)
			n, err := unix.Lgetxattr(path, string(name), b)
			if err != nil || string(b[:n]) != string(want) {
				t.Errorf("%s of %s is %x, %v, want %x", name, e.Name, b[:max(n, 0)], err, want)
			}
			return true
		})
	}
	if st, err := h.lstat("file"); err != nil || !sameTime(st.mtime, file.Mtime) {
		t.Errorf("changed at %v, %v, want %v", st.mtime, err, file.Mtime)
	}
}

// TestNTFSMetadataElsewhere counts what other file systems can't hold, once for each entry.
func TestNTFSMetadataElsewhere(t *testing.T) {
	m := newManner(OwnersNone, nil, nil)
	h, err := openTarget(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	file := ntfsEntry(catalog.File, "file", ntfsACL, string(security()), ntfsAttrib, u32(0x20), ntfsCrtime, u64(1))
	to := ntfsEntry(catalog.Symlink, "to", ntfsAttrib, u32(0x410), ntfsReparse, string(junction(`\??\C:\Users`)))
	to.Target = []byte("/C:/Users")
	out, err := h.create("file", file, false, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.dress(file, m), out.Close(), h.make("to", to, m)); err != nil {
		t.Fatal(err)
	}
	if n := m.unkept.Load(); n != 2 {
		t.Errorf("%d entries are without, want 2", n)
	}
	if target, err := h.root.Readlink("to"); err != nil || target != "/C:/Users" {
		t.Errorf("it leads to %s, %v", target, err)
	}
}
