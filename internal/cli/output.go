package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"
)

// Schema is the version of the JSON lines. It changes when a member changes its meaning or goes;
// new members and new types may come at any time.
const Schema = "waybill/1"

// Output is where a program speaks. Its methods are safe for concurrent use.
type Output struct {
	Stdout, Stderr io.Writer
	Terminal       bool // Stderr is a terminal: progress is a bar

	JSON, Quiet, Verbose bool // set by the flags

	mu     sync.Mutex
	answer *bufio.Writer // guarded by mu; before Stdout
	bar    *bar          // guarded by mu; on the terminal's last line now
}

func (o *Output) addFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.BoolVar(&o.JSON, "json", false, "speak JSON lines (see \""+root.Name()+" help json\")")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "say nothing but the answer, warnings and errors")
	f.BoolVarP(&o.Verbose, "verbose", "v", false, "say more")
	root.MarkFlagsMutuallyExclusive("quiet", "verbose")
}

// Answer writes one item of the answer to standard output: what text writes, or
// v as a JSON line of the given type. v must encode as a JSON object.
func (o *Output) Answer(typ string, v any, text func(w io.Writer)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answer == nil {
		o.answer = bufio.NewWriterSize(o.Stdout, 64<<10)
	}
	if o.JSON {
		o.answer.Write(line(typ, v))
		return
	}
	text(o.answer)
}

// Flush writes out what Answer has buffered, and returns the first error of any Answer.
func (o *Output) Flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answer == nil {
		return nil
	}
	return o.answer.Flush()
}

// A message is a line of the conversation as JSON.
type message struct {
	Text string `json:"text"`
}

// Say tells the user something on standard error, unless --quiet.
func (o *Output) Say(format string, args ...any) {
	if !o.Quiet {
		o.converse("message", fmt.Sprintf(format, args...))
	}
}

// Detail is Say for what only --verbose shows.
func (o *Output) Detail(format string, args ...any) {
	if o.Verbose {
		o.converse("message", fmt.Sprintf(format, args...))
	}
}

// Warn tells the user something on standard error, --quiet or not.
func (o *Output) Warn(format string, args ...any) {
	o.converse("warning", fmt.Sprintf(format, args...))
}

func (o *Output) converse(typ, text string) {
	if o.JSON {
		o.event(typ, message{text})
		return
	}
	if typ == "warning" {
		text = "warning: " + text
	}
	o.write([]byte(text + "\n"))
}

// event writes a JSON line to standard error.
func (o *Output) event(typ string, v any) { o.write(line(typ, v)) }

// write puts whole lines on standard error, the progress bar out of their way.
func (o *Output) write(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bar != nil {
		o.bar.clear()
	}
	o.Stderr.Write(b)
}

// A failure is an error as JSON.
type failure struct {
	Code int    `json:"code"`
	Name string `json:"name"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

func (o *Output) fail(program string, e *Error) {
	if o.JSON {
		o.event("error", failure{int(e.Code), e.Code.Name(), e.Error(), e.Hint})
		return
	}
	text := program + ": " + e.Error() + "\n"
	if e.Hint != "" {
		text += "  " + strings.ReplaceAll(e.Hint, "\n", "\n  ") + "\n"
	}
	o.write([]byte(text))
}

// line encodes v, an object, with the schema and the type as its first members.
func line(typ string, v any) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"schema":%q,"type":%q`, Schema, typ)
	head := b.Len()
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil || b.Bytes()[head] != '{' {
		panic(fmt.Sprintf("a %s line of %T: not a JSON object: %v", typ, v, err)) // a mistake in our own types
	}
	out := b.Bytes()
	if out[head+1] == '}' {
		return append(out[:head], "}\n"...)
	}
	out[head] = ','
	return out
}
