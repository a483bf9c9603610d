package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
)

// A program for the tests: `tool do` answers or fails as told.
func run(t *testing.T, do func(*Output) error, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	out := &Output{Stdout: &o, Stderr: &e}
	root := &cobra.Command{Use: "tool"}
	root.AddCommand(&cobra.Command{Use: "do", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return do(out) }}, ExitCodesTopic())
	group := &cobra.Command{Use: "group"}
	group.AddCommand(&cobra.Command{Use: "sub", RunE: func(*cobra.Command, []string) error { return do(out) }})
	root.AddCommand(group)
	rules := []Rule{
		{Is: fs.ErrNotExist, Code: NoVault, Hint: "look elsewhere"},
		{As: func(err error) bool { var p *fs.PathError; return errors.As(err, &p) }, Code: Damaged, Hint: "get another disk"},
	}
	code = Run(t.Context(), root, out, rules, args)
	return code, o.String(), e.String()
}

func TestRun(t *testing.T) {
	answer := func(out *Output) error {
		out.Say("working")
		out.Detail("in detail")
		out.Warn("take care")
		out.Answer("thing", struct {
			N int `json:"n"`
		}{3}, func(w io.Writer) { fmt.Fprintln(w, "n is 3") })
		return nil
	}
	fail := func(err error) func(*Output) error { return func(*Output) error { return err } }
	const schema = `{"schema":"waybill/1",`
	for _, tt := range []struct {
		name           string
		do             func(*Output) error
		args           []string
		code           Code
		stdout, stderr string
	}{
		{"answer", answer, []string{"do"}, OK, "n is 3\n", "working\nwarning: take care\n"},
		{"quiet", answer, []string{"do", "-q"}, OK, "n is 3\n", "warning: take care\n"},
		{"verbose", answer, []string{"do", "-v"}, OK, "n is 3\n", "working\nin detail\nwarning: take care\n"},
		{"json", answer, []string{"do", "--json"}, OK, schema + `"type":"thing","n":3}` + "\n",
			schema + `"type":"message","text":"working"}` + "\n" + schema + `"type":"warning","text":"take care"}` + "\n"},
		{"plain error", fail(errors.New("no luck")), []string{"do"}, Failed, "", "tool: no luck\n"},
		{"rule", fail(fmt.Errorf("opening: %w", fs.ErrNotExist)), []string{"do"}, NoVault, "", "tool: opening: file does not exist\n  look elsewhere\n"},
		{"rule by function", fail(&fs.PathError{Op: "read", Path: "x", Err: io.EOF}), []string{"do"}, Damaged, "", "tool: read x: EOF\n  get another disk\n"},
		{"hint", fail(fmt.Errorf("a: %w", Errorf(Busy, "taken").Hinted("wait\nor don't"))), []string{"do"}, Busy, "", "tool: a: taken\n  wait\n  or don't\n"},
		{"rule fills the hint", fail(Errorf(Damaged, "no: %w", fs.ErrNotExist)), []string{"do"}, Damaged, "", "tool: no: file does not exist\n  look elsewhere\n"},
		{"interrupted", fail(fmt.Errorf("reading: %w", context.Canceled)), []string{"do"}, Interrupted, "", "tool: interrupted\n  run the same again: it goes on from what is done\n"},
		{"json error", fail(Errorf(WrongKey, "<no>").Hinted("try again")), []string{"do", "--json"}, WrongKey, "",
			schema + `"type":"error","code":12,"name":"wrong_key","text":"<no>","hint":"try again"}` + "\n"},
		{"argument too many", answer, []string{"do", "it"}, Usage, "",
			"tool: unknown command \"it\" for \"tool do\"\n  `tool do --help` shows how it is used, with examples\n"},
		{"unknown flag", answer, []string{"do", "--it"}, Usage, "", "tool: unknown flag: --it\n  `tool do --help` shows how it is used, with examples\n"},
		{"subcommand", answer, []string{"group", "sub", "-q"}, OK, "n is 3\n", "warning: take care\n"},
		{"unknown subcommand", answer, []string{"group", "bus"}, Usage, "",
			"tool: unknown command \"bus\" for \"tool group\"\n  `tool group --help` shows how it is used, with examples\n"},
		{"unknown command", answer, []string{"walk"}, Usage, "", "tool: unknown command \"walk\" for \"tool\"\n  `tool --help` shows how it is used, with examples\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := run(t, tt.do, tt.args...)
			if code != int(tt.code) || stdout != tt.stdout || stderr != tt.stderr {
				t.Errorf("exit code %d, stdout %q, stderr %q;\nwant %d, %q, %q", code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

type fullPipe struct{}

func (fullPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAnswerNotWritten(t *testing.T) {
	var e bytes.Buffer
	out := &Output{Stdout: fullPipe{}, Stderr: &e}
	root := &cobra.Command{Use: "tool", RunE: func(*cobra.Command, []string) error {
		out.Answer("thing", struct{}{}, func(w io.Writer) { io.WriteString(w, "lost") })
		return nil
	}}
	if code := Run(t.Context(), root, out, nil, nil); code != int(Failed) || !strings.Contains(e.String(), "writing the answer") {
		t.Errorf("exit code %d, stderr %q", code, &e)
	}
}

func TestHelpTopicListsEveryCode(t *testing.T) {
	_, stdout, _ := run(t, nil, "help", "exit-codes")
	for _, e := range Exits() {
		if !strings.Contains(stdout, fmt.Sprintf("%5d  %s\n", e.Code, e.Meaning)) {
			t.Errorf("code %d is not in\n%s", e.Code, stdout)
		}
	}
}

func TestManPages(t *testing.T) {
	root := &cobra.Command{Use: "tool", Short: "a tool", Long: "It does things."}
	sub := &cobra.Command{Use: "do THING", Short: "do it", Long: "Does it.\n\nKIND   HOW\nthis   so\n\n  that   otherwise", Example: "  tool do x", RunE: func(*cobra.Command, []string) error { return nil }}
	root.AddCommand(sub, ExitCodesTopic(), &cobra.Command{Use: "secret", Hidden: true, Run: func(*cobra.Command, []string) {}})
	dir := filepath.Join(t.TempDir(), "man")
	if err := ManPages(root, time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), "v1", dir); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(dir + "/*")
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	if got, want := fmt.Sprint(names), "[tool-do.1 tool-exit-codes.1 tool.1]"; got != want {
		t.Errorf("pages %s, want %s", got, want)
	}
	page, _ := os.ReadFile(filepath.Join(dir, "tool.1"))
	if !bytes.Contains(page, []byte("EXIT STATUS")) || !bytes.Contains(page, []byte("  130  interrupted")) {
		t.Errorf("no exit codes in\n%s", page)
	}
	page, _ = os.ReadFile(filepath.Join(dir, "tool-do.1"))
	if !bytes.Contains(page, []byte("\nKIND   HOW\nthis   so\n")) || !bytes.Contains(page, []byte("\n  that   otherwise\n")) {
		t.Errorf("no table as it was in\n%s", page)
	}
}

func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e bytes.Buffer
		out := &Output{Stderr: &e}
		start := time.Now()
		stop := out.Progress(func() Sample {
			done := int64(time.Since(start) / time.Second)
			return Sample{Phase: "reading", Bytes: done * 1e6, TotalBytes: 200e6, Files: done, TotalFiles: 200}
		})
		time.Sleep(25*time.Second + time.Millisecond)
		stop()
		stop()
		want := "reading 5 %: 10.0 MB of 200 MB, 10 of 200 files, 1.00 MB/s, 3 min 10 s left\n" +
			"reading 10 %: 20.0 MB of 200 MB, 20 of 200 files, 1.00 MB/s, 3 min 0 s left\n" +
			"reading 12 %: 25.0 MB of 200 MB, 25 of 200 files, 1.00 MB/s\n"
		if e.String() != want {
			t.Errorf("got\n%swant\n%s", &e, want)
		}
	})
}

func TestProgressThatTakesAMoment(t *testing.T) {
	var e bytes.Buffer
	out := &Output{Stderr: &e}
	out.Progress(func() Sample { return Sample{Phase: "reading"} })()
	if e.Len() != 0 {
		t.Errorf("said %q", &e)
	}
}

func TestProgressJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e bytes.Buffer
		out := &Output{Stderr: &e, JSON: true, Quiet: true}
		start := time.Now()
		stop := out.Progress(func() Sample {
			done := int64(time.Since(start) / time.Second)
			if done >= 2 {
				return Sample{Phase: "checking", Bytes: 100 + 10*(done-2), TotalBytes: 200}
			}
			return Sample{Phase: "reading", Bytes: done}
		})
		time.Sleep(3*time.Second + time.Millisecond)
		stop()
		var got []event
		for dec := json.NewDecoder(&e); ; {
			var v event
			if dec.Decode(&v) != nil {
				break
			}
			got = append(got, v)
		}
		want := []event{
			{Phase: "reading", Bytes: 1, Rate: 1},
			{Phase: "checking", Bytes: 100, TotalBytes: 200},
			{Phase: "checking", Bytes: 110, TotalBytes: 200, Rate: 10, Left: 9},
			{Phase: "checking", Bytes: 110, TotalBytes: 200, Rate: 9, Left: 9},
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

// How it is about the line to the vault is said while it is worth a word.
func TestProgressOfLine(t *testing.T) {
	since := time.Date(2026, 12, 1, 2, 3, 4, 500, time.UTC)
	for _, test := range []struct {
		s          Sample
		text, json string
	}{
		{Sample{Phase: "saving"}, "saving: 0 B, 0 B/s", `"bytes_per_second":0}`},
		{Sample{Phase: "saving", Limit: "2 Mbit/s"}, "saving: 0 B, 0 B/s, limit 2 Mbit/s", `"limit":"2 Mbit/s"}`},
		{Sample{Phase: "saving", Away: since}, "saving: 0 B, 0 B/s, the vault is out of reach since " + since.Local().Format(time.DateTime),
			`"vault_out_of_reach_since":"2026-12-01T02:03:04Z"}`},
	} {
		if got := describe(test.s, 0, 0); got != test.text {
			t.Errorf("%q, want %q", got, test.text)
		}
		var e bytes.Buffer
		v := &events{out: &Output{Stderr: &e, JSON: true}, pace: newPace()}
		v.show(test.s)
		if !strings.HasSuffix(e.String(), test.json+"\n") {
			t.Errorf("%s, want %s", &e, test.json)
		}
	}
}

func TestProgressBar(t *testing.T) {
	var e bytes.Buffer
	out := &Output{Stderr: &e, Terminal: true}
	v := &bar{out: out}
	v.show(Sample{Phase: "looking", Bytes: 10})
	v.show(Sample{Phase: "reading", Bytes: 50e6, TotalBytes: 100e6, Files: 7})
	out.Warn("mind the gap")
	v.show(Sample{Phase: "reading", Bytes: 100e6, TotalBytes: 100e6, Files: 8})
	v.show(Sample{Phase: "reading", Bytes: 120e6, TotalBytes: 100e6, Files: 9})
	v.end(Sample{})
	for _, want := range []string{"looking ", "reading, 7 files", "50%", "warning: mind the gap\n", "reading, 9 files"} {
		if !strings.Contains(e.String(), want) {
			t.Errorf("no %q in %q", want, &e)
		}
	}
	if out.bar != nil {
		t.Error("the bar is still there")
	}
}

func TestText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.00 kB", 1034: "1.03 kB", 9996: "10.0 kB", 999_400: "999 kB", 999_600: "1.00 MB",
		123_456_789: "123 MB", 1<<63 - 1: "9.22 EB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 entries", 1: "1 entry", 84000: "84,000 entries", -1234567: "-1,234,567 entries"} {
		if got := Counted(n, "entry"); got != want {
			t.Errorf("Counted(%d) = %q, want %q", n, got, want)
		}
	}
	for s, want := range map[string]string{"0.42s": "0.4 s", "12.9s": "12 s", "3m5s": "3 min 5 s", "2h14m9s": "2 h 14 min", "76h": "3 d 4 h"} {
		d, _ := time.ParseDuration(s)
		if got := Duration(d); got != want {
			t.Errorf("Duration(%s) = %q, want %q", s, got, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1000000": 1e6, "512B": 512, "8TB": 8e12, "8 tb": 8e12, "1.5G": 15e8, "512MiB": 512 << 20, "1Ki": 1024, " 2 kB ": 2000} {
		if got, err := ParseBytes(s); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "TB", "-1", "1XB", "1 MM", "1iB", "NaN", "Inf", "1e300", "9EB", "1e9", "1kmB"} {
		if got, err := ParseBytes(s); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", s, got)
		}
	}
}

func TestInterruptible(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no way to signal one process")
	}
	ctx, stop := Interruptible(t.Context())
	defer stop()
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(os.Interrupt)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if e := Explain(fmt.Errorf("reading: %w", ctx.Err()), nil); e.Code != Interrupted {
		t.Errorf("exit code %d", e.Code)
	}
}
