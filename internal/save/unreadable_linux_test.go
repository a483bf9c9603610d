package save_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"waybill/internal/catalog"
)

const nobody = 65534

// asNobody runs the calling test again as a user without privileges when this one has them, and tells whether it did.
func asNobody(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return false
	}
	// Neither the directory that tests run in nor that of their program can be entered by others.
	dir, err := os.MkdirTemp("", "waybill-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "test")
	if err := copyFile("/proc/self/exe", program); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Skipf("can't become another user: %v", err)
	}
	cmd := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
	return true
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

// What can't be read is listed with the reason, all else is saved, and once it can be read it is saved too.
func TestUnreadable(t *testing.T) {
	if asNobody(t) {
		return
	}
	m, top := newMemory(t), t.TempDir()
	for _, name := range []string{"file", "good", "closed/in", "unlisted/in", "blind/in", "blind/sub/in"} {
		write(t, top+"/"+name, []byte(name))
	}
	modes := map[string]os.FileMode{"file": 0, "closed": 0, "unlisted": 0o300, "blind": 0o600}
	for name, mode := range modes {
		if err := os.Chmod(top+"/"+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // else they could not be removed
		for name := range modes {
			os.Chmod(top+"/"+name, 0o700)
		}
	})
	r := m.save(nil, top)
	got := m.files(r.Point, top)
	if got["good"].content != "good" {
		t.Error("what can be read was not saved")
	}
	for name, want := range map[string]catalog.Flags{"closed": catalog.Unreadable, "unlisted": catalog.Unreadable, "blind": 0} {
		if it, ok := got[name]; !ok || it.Flags != want || it.Kind != catalog.Directory {
			t.Errorf("%s: %v, flags %v, want %v", name, ok, it.Flags, want)
		}
	}
	problems := map[string]string{}
	for _, p := range r.Point.Problems {
		problems[strings.TrimPrefix(p.Path, top+"/")] = p.Problem
	}
	for _, name := range []string{"file", "closed", "unlisted", "blind/in", "blind/sub"} {
		if !strings.Contains(problems[name], "permission denied") {
			t.Errorf("%s: the problem is %q", name, problems[name])
		}
		delete(problems, name)
	}
	if len(problems) > 0 || r.Point.ProblemCount != 5 {
		t.Errorf("%d problems, beside those expected: %v", r.Point.ProblemCount, problems)
	}

	for name := range modes {
		os.Chmod(top+"/"+name, 0o700)
	}
	r = m.save(nil, top)
	m.same(r.Point, top)
	if r.Point.ProblemCount != 0 {
		t.Errorf("%+v", r.Point.Problems)
	}
}

// What can't be read is counted by no point, however many are made.
func TestUnreadableIsNotCounted(t *testing.T) {
	if asNobody(t) {
		return
	}
	m, dir := newMemory(t), t.TempDir()
	for _, name := range []string{"a", "closed", "shut/in"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	for _, name := range []string{"closed", "shut"} {
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(dir+"/shut", 0o700) })
	first := m.save(on(dir, nil), dir).Point.Stats
	if first.Files != 1 || first.Bytes != 1 {
		t.Errorf("%+v", first)
	}
	for range 3 {
		d := names(t, dir, "closed", "shut")
		if s := m.save(on(dir, d), dir).Point.Stats; s.Files != 1 || s.Bytes != 1 || s.Directories != first.Directories {
			t.Errorf("%+v after %+v", s, first)
		}
	}
	if err := os.Chmod(dir+"/shut", 0o700); err != nil {
		t.Fatal(err)
	}
	if s := m.save(on(dir, names(t, dir, "shut")), dir).Point.Stats; s.Files != 2 || s.Directories != first.Directories {
		t.Errorf("%+v after %+v", s, first)
	}
	if err := os.Chmod(dir+"/shut", 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if s := m.save(on(dir, names(t, dir, "shut")), dir).Point.Stats; s.Files != 1 || s.Directories != first.Directories {
			t.Errorf("%+v after %+v", s, first)
		}
	}
}
