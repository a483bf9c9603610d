package winetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// A prefix is where Wine keeps what Windows would have, with the drive C: among it.
type prefix struct {
	wine, dir string
	overlay   string // for builds
}

// packages are those whose tests run under Wine, and which tests of them.
var packages = map[string]string{
	"internal/source":  ".",
	"internal/restore": "NTFS|ValidSecurity|StreamNames|Windows",

	"incremental/journal/usn": "OpenLive",
}

func TestWine(t *testing.T) {
	p := newPrefix(t)
	for pkg, run := range packages {
		t.Run(pkg, func(t *testing.T) {
			exe := p.build(t, pkg, "test", "-c")
			out, err := p.run(t, exe, "-test.run", run, "-test.skip", "AllocatesNothing")
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	t.Run("waybill", func(t *testing.T) { p.wholeWay(t, p.build(t, "cmd/waybill", "build")) })
}

// newPrefix starts Wine, which takes some seconds.
func newPrefix(t *testing.T) *prefix {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("Wine is for amd64 here")
	}
	p := &prefix{dir: t.TempDir(), wine: "/usr/lib/wine/wine64"}
	if path, err := exec.LookPath("wine64"); err == nil {
		p.wine = path
	}
	for _, tool := range []string{p.wine, "x86_64-w64-mingw32-dlltool", "x86_64-w64-mingw32-ld"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("without Wine: ", err)
		}
	}
	t.Cleanup(func() { p.server("-k") })
	p.server("-p300") // else it ends and begins between programs, and sometimes as one is about to use it
	if out, err := p.run(t, "wineboot", "-i"); err != nil {
		t.Fatalf("starting Wine: %v\n%s", err, out)
	}
	p.addRandom(t)
	p.overlayFor(t)
	return p
}

func (p *prefix) path(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

func (p *prefix) env() []string {
	return append(os.Environ(), "WINEPREFIX="+p.path("prefix"), "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=", "DISPLAY=",
		"WAYBILL_STATE=C:\\state", "WAYBILL_PASSPHRASE=the passphrase of the tests")
}

// run runs a program of Windows and returns what it said. That goes to a file: what Wine leaves running would keep a pipe open.
func (p *prefix) run(t *testing.T, exe string, args ...string) (string, error) {
	t.Helper()
	said, err := os.CreateTemp(p.dir, "said")
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.CommandContext(t.Context(), p.wine, append([]string{exe}, args...)...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = p.env(), p.dir, said, said
	err = cmd.Run()
	out, rerr := os.ReadFile(said.Name())
	return string(out), errors.Join(err, rerr)
}

// server tells the server that all programs of the prefix share, and no other, to stay or to end.
func (p *prefix) server(what string) {
	for _, server := range []string{"wineserver", "/usr/lib/wine/wineserver"} {
		cmd := exec.Command(server, what)
		cmd.Env = p.env()
		if cmd.Run() == nil {
			return
		}
	}
}

// addRandom makes the library that Wine 8 lacks and Go takes its random numbers from: it hands the call on to one that is there.
func (p *prefix) addRandom(t *testing.T) {
	t.Helper()
	def, object := p.path("random.def"), p.path("random.o")
	library := p.path("prefix", "drive_c", "windows", "system32", "bcryptprimitives.dll")
	if _, err := os.Stat(library); err == nil {
		return
	}
	err := os.WriteFile(def, []byte("LIBRARY bcryptprimitives.dll\nEXPORTS\nProcessPrng = ADVAPI32.SystemFunction036\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	output(t, "x86_64-w64-mingw32-dlltool", "-d", def, "-e", object)
	output(t, "x86_64-w64-mingw32-ld", "-shared", "-e", "0", "--image-base", "0x180000000", "-o", library, object)
}

// overlayFor changes one line of package os for the build: Wine 8 has an answer of its own for a way to remove files that it doesn't know, at
// which os.RemoveAll and os.Root.Remove would give up instead of trying the other way.
func (p *prefix) overlayFor(t *testing.T) {
	t.Helper()
	at := filepath.Join(strings.TrimSpace(output(t, "go", "env", "GOROOT")), "src/internal/syscall/windows/at_windows.go")
	b, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	const known, notImplemented = "case STATUS_INVALID_INFO_CLASS,", "NTStatus(0xC0000002),"
	patched := bytes.Replace(b, []byte(known), []byte(known+notImplemented), 1)
	if bytes.Equal(patched, b) {
		t.Skip("package os is another one than this was made for")
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{at: p.path("at_windows.go")}})
	p.overlay = p.path("overlay.json")
	if err := errors.Join(err, os.WriteFile(p.path("at_windows.go"), patched, 0o600), os.WriteFile(p.overlay, list, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// build builds a package for Windows.
func (p *prefix) build(t *testing.T, pkg string, how ...string) string {
	t.Helper()
	exe := p.path(strings.ReplaceAll(pkg, "/", "-") + ".exe")
	cmd := exec.CommandContext(t.Context(), "go", append(how, "-overlay", p.overlay, "-o", exe, "./"+pkg)...)
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	return exe
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out)
}

// wholeWay makes a vault, a seed and backups, and restores them.
func (p *prefix) wholeWay(t *testing.T, exe string) {
	drive := p.path("prefix", "drive_c")
	files := map[string]string{"a": "hello", "empty": "", "dir/deep/x": "x", "dir/big": strings.Repeat("0123456789", 50_000), "ünï/ü": "u",
		"a:stream": "beside it"}
	for name, content := range files {
		write(t, filepath.Join(drive, "src", name), content)
	}
	err := errors.Join(os.Link(filepath.Join(drive, "src/a"), filepath.Join(drive, "src/dir/hard")), os.Mkdir(filepath.Join(drive, "disk"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	waybill := func(want string, args ...string) { t.Helper(); p.says(t, exe, want, 0, args...) }
	waybill(`^vault `, "vault", "create", `C:\vault`, "--credentials", `C:\credentials`)
	waybill(`^machine `, "register", `C:\credentials`)
	waybill(`^7 files`, "seed", "--to", `C:\disk`, `C:\src`)
	waybill(`2 imported`, "ingest", "--vault", `C:\vault`, `C:\disk`)
	write(t, filepath.Join(drive, "src/dir/new"), "new")
	waybill(`unoptimised.*no change journal.*\s+8 files`, "backup")
	p.says(t, exe, `no change journal`, 28, "backup", "--journal", "required")
	waybill(`^/C:  .*\s+journal +none\s+next backup +unoptimised: .*no change journal`, "journal", "status")
	p.says(t, exe, `no change journal`, 1, "journal", "create", "C:")
	waybill(`/C:/src/dir/hard  \(hard link\)`, "ls", "-r", "latest", `C:\src`)
	waybill(`^  whole$`, "verify", "--data", `C:\vault`)
	waybill(`^restored 8 files`, "restore", "latest", "--to", `C:\back`)
	waybill(`^restored 1 file,`, "restore", "latest", "--to", `C:\part`, `C:\src\dir\deep\x`)
	files["dir/new"], files["dir/hard"] = "new", "hello"
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(drive, "back/C/src", name)); err != nil || string(got) != want {
			t.Errorf("%s came back as %.20q, %v", name, got, err)
		}
	}
	times(t, filepath.Join(drive, "src/a"), filepath.Join(drive, "back/C/src/a"))
	sameFile(t, filepath.Join(drive, "back/C/src/a"), filepath.Join(drive, "back/C/src/dir/hard"))
}

// says runs a program and looks for a pattern in what it says.
func (p *prefix) says(t *testing.T, exe, want string, status int, args ...string) {
	t.Helper()
	out, err := p.run(t, exe, args...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Fatalf("%q: status %d, want %d\n%s", args, got, status, out)
	}
	if !regexp.MustCompile("(?m)" + want).MatchString(out) {
		t.Errorf("%q doesn't say %s:\n%s", args, want, out)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func times(t *testing.T, a, b string) {
	t.Helper()
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !x.ModTime().Truncate(100).Equal(y.ModTime()) {
		t.Errorf("%s was changed at %v, and came back with %v", a, x.ModTime(), y.ModTime())
	}
}

func sameFile(t *testing.T, a, b string) {
	t.Helper()
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err := errors.Join(err1, err2); err != nil || !os.SameFile(x, y) {
		t.Errorf("%s and %s are two files, %v", a, b, err)
	}
}
