package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSame(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		change func(dir string) error
		same   bool
	}{
		{"nothing", func(string) error { return nil }, true},
		{"content", func(dir string) error { return write(dir, "a/file", "anothex", at) }, false},
		{"length", func(dir string) error { return write(dir, "a/file", "longer than it was", at) }, false},
		{"time", func(dir string) error { return write(dir, "a/file", "another", at.Add(time.Second)) }, false},
		{"mode", func(dir string) error { return os.Chmod(filepath.Join(dir, "a/file"), 0o600) }, false},
		{"missing", func(dir string) error { return os.Remove(filepath.Join(dir, "a/file")) }, false},
		{"extra", func(dir string) error { return write(dir, "a/more", "", at) }, false},
		{"link", func(dir string) error { return relink(filepath.Join(dir, "link"), "elsewhere") }, false},
		{"type", func(dir string) error {
			os.Remove(filepath.Join(dir, "link"))
			return write(dir, "link", "a/file", at)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, got := t.TempDir(), t.TempDir()
			for _, dir := range []string{want, got} {
				if err := sampleTree(dir, at); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.change(got); err != nil {
				t.Fatal(err)
			}
			if err := same(t.Context(), want, got); (err == nil) != c.same {
				t.Errorf("same: %v", err)
			}
		})
	}
}

func sampleTree(dir string, at time.Time) error {
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o777); err != nil {
		return err
	}
	if err := write(dir, "a/file", "another", at); err != nil {
		return err
	}
	if err := write(dir, "a/b/empty", "", at); err != nil {
		return err
	}
	return relink(filepath.Join(dir, "link"), "a/file")
}

func write(dir, name, content string, at time.Time) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), fs.FileMode(0o644)); err != nil {
		return err
	}
	return os.Chtimes(path, at, at)
}

func relink(path, target string) error {
	os.Remove(path)
	return os.Symlink(target, path)
}
