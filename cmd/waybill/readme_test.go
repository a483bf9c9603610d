package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// repository is where README.md is; scripts run elsewhere.
var repository, _ = filepath.Abs(filepath.Join("..", ".."))

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// readme HEADING FILE writes the shell commands of a page of README.md into a file, but for those that begin with "# settings".
func readme(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: readme heading file")
	}
	b, err := os.ReadFile(filepath.Join(repository, "README.md"))
	ts.Check(err)
	_, page, ok := strings.Cut(string(b), "\n## "+args[0]+"\n")
	if !ok {
		ts.Fatalf("README.md has no page called %q", args[0])
	}
	page, _, _ = strings.Cut(page, "\n## ")
	var script strings.Builder
	for _, block := range shellBlock.FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(block[1], "# settings") {
			script.WriteString(block[1])
		}
	}
	if script.Len() == 0 {
		ts.Fatalf("the page %q has no commands", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(script.String()), 0o666))
}
