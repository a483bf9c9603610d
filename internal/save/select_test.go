package save_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"waybill/internal/save"
)

func TestRoots(t *testing.T) {
	top := t.TempDir()
	for _, name := range []string{"a/in/file", "a/in/deep/er", "a/out/file", "b/only", "b/beside", "c/all/of/it", "c/top"} {
		write(t, top+"/"+name, []byte(name))
	}
	symlink(t, "a/in", top+"/link")
	symlink(t, "nowhere", top+"/dangling")
	for name, test := range map[string]struct {
		roots []string
		want  string // what the point has below top
	}{
		"a directory":                {[]string{"a/in"}, "a a/in a/in/deep a/in/deep/er a/in/file"},
		"a file":                     {[]string{"b/only"}, "b b/only"},
		"through a link":             {[]string{"link"}, "a a/in a/in/deep a/in/deep/er a/in/file"},
		"two":                        {[]string{"b/only", "a/out"}, "a a/out a/out/file b b/only"},
		"one twice":                  {[]string{"b/only", "b/only"}, "b b/only"},
		"one in another":             {[]string{"c", "c/all/of"}, "c c/all c/all/of c/all/of/it c/top"},
		"one in another, last first": {[]string{"c/all/of", "c"}, "c c/all c/all/of c/all/of/it c/top"},
		"with slashes and dots":      {[]string{"c/../b//./only"}, "b b/only"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(t)
			var roots []string
			for _, r := range test.roots {
				roots = append(roots, top+"/"+r)
			}
			got := m.files(m.save(nil, roots...).Point, top)
			if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != test.want {
				t.Errorf("saved: %s\n want: %s", names, test.want)
			}
		})
	}
	for name, root := range map[string]string{"nothing there": top + "/nowhere", "a dangling link": top + "/dangling", "through a file": top + "/c/top/x"} {
		if r, err := newMemory(t).try(t.Context(), nil, root); err == nil || r != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		} else if name == "nothing there" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newMemory(t).try(t.Context(), nil, "relative"); err == nil {
		t.Error("a relative root is accepted")
	}
	if _, err := newMemory(t).try(t.Context(), nil); err == nil {
		t.Error("no root is accepted")
	}
}

// When the selection changes, the next point has the new one, all of it and no more.
func TestSelectionChanges(t *testing.T) {
	m, top := newMemory(t), t.TempDir()
	for _, name := range []string{"a/1", "a/2", "b/1", "b/sub/2", "c"} {
		write(t, top+"/"+name, []byte(name))
	}
	for _, step := range []struct {
		roots    []string
		excludes []string
		want     string
	}{
		{[]string{"a", "b"}, nil, "a a/1 a/2 b b/1 b/sub b/sub/2"},
		{[]string{"b"}, nil, "b b/1 b/sub b/sub/2"},
		{[]string{""}, nil, "a a/1 a/2 b b/1 b/sub b/sub/2 c"},
		{[]string{""}, []string{"sub/", "1"}, "a a/2 b c"},
		{[]string{"a/2", "b/sub"}, nil, "a a/2 b b/sub b/sub/2"},
	} {
		var roots []string
		for _, r := range step.roots {
			roots = append(roots, top+"/"+r)
		}
		r := m.save(func(c *save.Config) { c.Excludes = step.excludes }, roots...)
		if names := strings.Join(slices.Sorted(maps.Keys(m.files(r.Point, top))), " "); names != step.want {
			t.Errorf("%v without %v: saved %s\n want %s", step.roots, step.excludes, names, step.want)
		}
		if !slices.Equal(r.Point.Excludes, step.excludes) || !slices.Equal(r.Point.Roots, roots) {
			t.Errorf("the record says %q without %q", r.Point.Roots, r.Point.Excludes)
		}
	}
}

// What is to be skipped is: the path, and the directory by whatever other path the walk reaches it.
func TestSkip(t *testing.T) {
	m, top := newMemory(t), t.TempDir()
	write(t, top+"/state/secret", []byte("1"))
	write(t, top+"/data/file", []byte("2"))
	symlink(t, "state", top+"/link")
	got := m.files(m.save(func(c *save.Config) { c.Skip = []string{top + "/link", top + "/nowhere"} }, top).Point, top)
	if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != "data data/file" {
		t.Errorf("saved: %s", names)
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
