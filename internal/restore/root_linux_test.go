package restore_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/internal/restore"
	"waybill/internal/treetest"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func TestDiskFullCanBeGoneOnWith(t *testing.T) {
	needRoot(t)
	m, src := newMachine(t), temp(t)
	for i := range 60 {
		write(t, fmt.Sprintf("%s/d%d/f%d", src, i%7, i), noise(100<<10, byte(i)))
	}
	write(t, src+"/large", noise(3<<20, 100))
	m.backup(src)
	to := temp(t)
	if err := unix.Mount("tmpfs", to, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("mounting a small file system: ", err)
	}
	defer unix.Unmount(to, 0)
	if _, err := m.try(t.Context(), restore.Options{To: to}); !isErr(err, restore.ErrFull) {
		t.Fatalf("error is %v", err)
	}
	if left, _ := filepath.Glob(to + src + "/.waybill*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if err := unix.Mount("tmpfs", to, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	if r := m.restore(restore.Options{To: to}); r.Kept == 0 {
		t.Errorf("nothing of what was complete was kept: %+v", r)
	}
	m.same(to, src)
}

func TestDefaultACLsOfTheTargetAreNotInherited(t *testing.T) {
	needRoot(t)
	m, src := newMachine(t), temp(t)
	write(t, src+"/a/b/file", []byte("1"))
	os.Symlink("x", src+"/a/link")
	m.backup(src)
	to := temp(t)
	acl := []byte{2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0, 232, 3, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255,
		16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 5, 0, 255, 255, 255, 255}
	if err := unix.Setxattr(to, "system.posix_acl_default", acl, 0); err != nil {
		t.Skip("no ACLs here: ", err)
	}
	os.Chmod(to, 0o2777)
	os.Chown(to, 0, 77)
	m.restore(restore.Options{To: to})
	m.same(to, src)
}

// Links can't cross into another file system: there the file becomes a copy.
func TestLinksAcrossFileSystems(t *testing.T) {
	needRoot(t)
	m, src := newMachine(t), temp(t)
	content := append(noise(300<<10, 1), make([]byte, 4<<20)...)
	write(t, src+"/a/file", content)
	os.Mkdir(src+"/b", 0o755)
	os.Link(src+"/a/file", src+"/b/same")
	m.backup(src)
	to := temp(t)
	os.MkdirAll(to+src+"/b", 0o755)
	if err := unix.Mount("tmpfs", to+src+"/b", "tmpfs", 0, "size=8m"); err != nil {
		t.Skip("mounting a small file system: ", err)
	}
	defer unix.Unmount(to+src+"/b", 0)
	r := m.restore(restore.Options{To: to})
	if r.WarningsCount != 1 {
		t.Errorf("warnings: %v", r.Warnings)
	}
	has(t, to+src+"/b/same", content)
	m.same(to, src, treetest.Links, treetest.Times, treetest.Owners, treetest.Modes)
}

// Someone without privileges gets everything but owners and devices, and no one else's rights.
func TestWithoutPrivileges(t *testing.T) {
	needRoot(t)
	m, src := newMachine(t), temp(t)
	write(t, src+"/theirs", []byte("1"))
	write(t, src+"/lends", []byte("2"))
	os.Chmod(src+"/lends", 0o4755)
	write(t, src+"/read only", []byte("3"))
	unix.Setxattr(src+"/read only", "user.note", []byte("x"), 0)
	os.Chmod(src+"/read only", 0o444)
	os.Mkdir(src+"/closed", 0o755)
	write(t, src+"/closed/in", []byte("4"))
	os.Chmod(src+"/closed", 0o500)
	unix.Mknod(src+"/device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
	m.backup(src)
	for _, dir := range []string{m.dir} {
		if err := exec.Command("chmod", "-R", "a+rX", dir).Run(); err != nil {
			t.Fatal(err)
		}
	}
	to, scratch := temp(t), temp(t)
	os.Chown(to, 65534, 65534)
	os.Chown(scratch, 65534, 65534)
	exe := filepath.Join(scratch, "child")
	if out, err := exec.Command("cp", os.Args[0], exe).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	os.Chmod(scratch, 0o755)
	cmd := m.child(t, exe, to, scratch)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
	for name, want := range map[string]uint32{"theirs": 0o644, "lends": 0o755, "read only": 0o444, "closed": 0o500, "closed/in": 0o644} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(to, src, name), &st); err != nil || st.Mode&0o7777 != want || st.Uid != 65534 {
			t.Errorf("%s: %v, mode %o, owner %d", name, err, st.Mode&0o7777, st.Uid)
		}
	}
	if n, err := unix.Getxattr(filepath.Join(to, src, "read only"), "user.note", make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("attribute of %d bytes, %v", n, err)
	}
	if _, err := os.Lstat(filepath.Join(to, src, "device")); err == nil {
		t.Error("a device was made")
	}
}
