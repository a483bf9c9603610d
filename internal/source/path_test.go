package source

import (
	"runtime"
	"testing"
)

func TestTreePath(t *testing.T) {
	paths := map[string]string{"/": "/", "/srv/a b": "/srv/a b", "/C:/Users": "/C:/Users", `/a\b`: `/a\b`}
	if runtime.GOOS == "windows" {
		paths = map[string]string{`C:\`: "/C:", `C:\Users\me`: "/C:/Users/me", `D:\a;b`: "/D:/a;b"}
		for path, want := range map[string]string{`c:\users`: "/C:/users", `\\?\C:\x`: "/C:/x", `\\server\share\x`: "", `\\?\UNC\server\share`: ""} {
			if got, ok := TreePath(path); got != want || ok != (want != "") {
				t.Errorf("%s is %s, %v, want %s", path, got, ok, want)
			}
		}
	}
	for path, want := range paths {
		got, ok := TreePath(path)
		if got != want || !ok {
			t.Errorf("%s is %s, %v, want %s", path, got, ok, want)
		}
		if back := SystemPath(got); back != path {
			t.Errorf("%s is %s, and that %s", path, got, back)
		}
	}
}
