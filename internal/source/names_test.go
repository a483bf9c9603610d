package source

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	var n Names
	if runtime.GOOS == "linux" {
		if got := n.User(0); got != "root" {
			t.Errorf("user 0 is %q", got)
		}
		if got := n.Group(0); got != "root" {
			t.Errorf("group 0 is %q", got)
		}
	}
	for range 2 {
		if u, g := n.User(4_000_000_001), n.Group(4_000_000_001); u != "" || g != "" {
			t.Errorf("nobody is %q, %q", u, g)
		}
	}
}

func TestIsCache(t *testing.T) {
	for content, want := range map[string]bool{
		cacheSignature:                     true,
		cacheSignature + "\n# a comment\n": true,
		cacheSignature[:42]:                false,
		strings.ToUpper(cacheSignature):    false,
		"":                                 false,
	} {
		root := t.TempDir()
		write(t, filepath.Join(root, CacheTag), []byte(content))
		d := open(t, root)
		var l Listing
		if err := d.List(&l); err != nil {
			t.Fatal(err)
		}
		if got := d.IsCache(&l); got != want {
			t.Errorf("%q marks a cache: %v, want %v", content, got, want)
		}
		if err := os.Remove(filepath.Join(root, CacheTag)); err != nil {
			t.Fatal(err)
		}
		if err := d.List(&l); err != nil || d.IsCache(&l) {
			t.Errorf("a cache without a tag, %v", err)
		}
	}
}
