package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExcludes(t *testing.T) {
	for _, c := range []struct {
		patterns  string // separated by |
		out, kept string // paths, separated by spaces; a slash at the end makes a directory
	}{
		{"*.tmp", "/a.tmp /x/y/b.tmp /d.tmp/", "/a.tmpx /tmp /x/.tm"},
		{"Thumbs.db", "/Thumbs.db /a/b/Thumbs.db", "/thumbs.db /aThumbs.db"},
		{"/var/cache", "/var/cache/", "/x/var/cache/ /var/ /var/cache2"},
		{"build/*.o", "/build/a.o /p/q/build/a.o", "/build/x/a.o /a.o /build/"},
		{"/home/**/Trash", "/home/Trash /home/a/Trash /home/a/b/c/Trash", "/Trash /home/ /home/a/Trash2"},
		{"/srv/scratch/**", "/srv/scratch/a /srv/scratch/a/b", "/srv/scratch/ /srv/scratch2/a"},
		{"a/**/b/**/c", "/a/b/c /x/a/1/2/b/3/c /a/b/b/c", "/a/c /b/a/c /a/b/d"},
		{"cache/", "/cache/ /x/cache/", "/cache /x/cache"},
		{"*|!keep", "/a /b/keep", "/keep /keep/keep"},
		{"/a*b|/[x]|c*|*d", "/ab /axb /x /c /cc /d /dd", "/a /b /aba /xx /C"},
		{"*.log|!/a/*.log|x.log", "/x.log /a/x.log /b/y.log", "/a/y.log"},
		{"!a|a", "/a", "/b"},
		{`\!a`, "/!a", "/a"},
		{"?.c", "/a.c /ä.c /\xff.c", "/.c /ab.c"},
		{"[a-c0-].[^x!]", "/a.y /-.z /0.ä", "/d.y /a.x /a.! /a."},
		{"[]]|[^]]x", "/] /ax", "/]x"},
		{`[\xc3]x`, "/\xc3x", "/Ãx /x"},
		{`a\x0ab|\*|\x2a\x2a`, "/a\nb /* /**", "/ab /x"},
		{"a*b*c", "/abc /axbxbxc /aXc.bc", "/ab /acb /abcx"},
		{"*a*a*a*a*a*a*b", "", "/" + strings.Repeat("a", 200)},
		{"**", "/a /b/c", ""},
		{"", "", "/a /b/c"},
	} {
		e, err := NewExcludes(fields(c.patterns, "|"))
		if err != nil {
			t.Errorf("%s: %v", c.patterns, err)
			continue
		}
		for _, path := range fields(c.out, " ") {
			if !leavesOut(e, path) {
				t.Errorf("%s must leave out %q", c.patterns, path)
			}
		}
		for _, path := range fields(c.kept, " ") {
			if leavesOut(e, path) {
				t.Errorf("%s must not leave out %q", c.patterns, path)
			}
		}
	}
}

func TestExcludesRefuses(t *testing.T) {
	for _, p := range []string{"", "/", "!", "!/", "a//b", "./a", "a/..", "a**", "[a", "[", "[z-a]", `a\`, `\q`, `\x1`, "[a-"} {
		if _, err := NewExcludes([]string{p}); err == nil {
			t.Errorf("pattern %q was taken", p)
		}
	}
}

func TestBarred(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	vault, later := filepath.Join(root, "vault"), filepath.Join(root, "later")
	if err := os.Mkdir(vault, 0o700); err != nil {
		t.Fatal(err)
	}
	e, err := NewExcludes([]string{"!*"}, vault, later)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{vault: true, later: true, root: false, vault + "2": false} {
		if got := leavesOut(e, filepath.ToSlash(path)+"/"); got != want {
			t.Errorf("%s left out: %v, want %v", path, got, want)
		}
	}
	for path, want := range map[string]bool{vault: true, root: false} {
		st, err := open(t, path).Self()
		if err != nil {
			t.Fatal(err)
		}
		if st.Inode != 0 && e.Barred(&st) != want {
			t.Errorf("%s barred: %v, want %v", path, !want, want)
		}
	}
}

func TestNoExcludes(t *testing.T) {
	var e *Excludes
	if leavesOut(e, "/a/b") || e.Barred(&Stat{Kind: Directory}) {
		t.Error("a nil Excludes leaves something out")
	}
}

// TestScopeIsReused pins that a walk with ordinary patterns allocates nothing.
func TestScopeIsReused(t *testing.T) {
	e, err := NewExcludes([]string{"*.tmp", ".git/", "/var/cache", "node_modules"})
	if err != nil {
		t.Fatal(err)
	}
	name := []byte("some directory")
	deeper := e.Root().Enter(name)
	if n := testing.AllocsPerRun(100, func() { deeper.Match(name, Directory); deeper = deeper.Enter(name) }); n != 0 {
		t.Errorf("%v allocations per directory", n)
	}
}

func BenchmarkExcludes(b *testing.B) {
	e, err := NewExcludes([]string{"*.tmp", ".git/", "/var/cache", "node_modules", "*.o", "*~", ".cache/", "build/**/*.log", "*.sw?", "__pycache__"})
	if err != nil {
		b.Fatal(err)
	}
	s := e.Root().Enter([]byte("srv"))
	name := []byte("file-000123.txt")
	for b.Loop() {
		s.Match(name, Regular)
	}
}

// leavesOut walks to path as a backup does.
func leavesOut(e *Excludes, path string) bool {
	kind := Regular
	if strings.HasSuffix(path, "/") {
		kind = Directory
	}
	s := e.Root()
	names := strings.Split(strings.Trim(path, "/"), "/")
	for i, name := range names {
		if i == len(names)-1 {
			return s.Match([]byte(name), kind)
		}
		if s.Match([]byte(name), Directory) {
			return true
		}
		s = s.Enter([]byte(name))
	}
	return false
}

func fields(s, sep string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, sep)
}
