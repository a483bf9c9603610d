package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// A LineType documents one type of JSON line.
type LineType struct {
	Type    string
	Says    string
	Example any // a value of the struct whose members the line has
}

// common are the types of JSON lines that go to standard error, the same for all programs.
var common = []LineType{
	{"progress", "how far a run is, once a second, on standard error", event{}},
	{"message", "something said on the way, on standard error", message{}},
	{"warning", "something to take care of, on standard error", message{}},
	{"error", "why the program failed, the last line, on standard error; see `help exit-codes`", failure{}},
}

// JSONTopic is the help topic on --json: types, beside those of every program.
func JSONTopic(types []LineType) *cobra.Command {
	var b strings.Builder
	fmt.Fprintf(&b, `
With --json, standard output and standard error carry JSON lines: one object a line, each with "schema", now %q, and
"type". The schema's number changes when a member changes its meaning or goes; new members and new types may
come at any time. Standard output has the answer, standard error progress, messages, warnings and the error. Paths
are written as text; bytes that are none are \xNN, a backslash is \x5c. Sizes are in bytes, times in UTC.

`, Schema)
	for _, t := range slices.Concat(common, types) {
		fmt.Fprintf(&b, "%s: %s\n    %s\n\n", t.Type, t.Says, strings.Join(members(reflect.TypeOf(t.Example)), ", "))
	}
	return Topic("json", "what --json prints", b.String())
}

// members lists the names that a struct has as JSON.
func members(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			names = append(names, members(inner)...)
		} else if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}
