package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The README says why a volume is scanned, in the same words.
func TestReadmeListsCauses(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range causes {
		if line := "| " + c.reason + " | " + c.means + " | " + c.advice + " |\n"; !strings.Contains(string(b), line) {
			t.Errorf("README.md has no line %q", line)
		}
	}
}
