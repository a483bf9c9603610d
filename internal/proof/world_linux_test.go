package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/cli"
	"waybill/internal/treetest"
)

// programs are the real ones, built once.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// program is the path of waybill or waybill-ingest.
func program(t *testing.T, name string) string {
	t.Helper()
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "waybill-programs-"); programs.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", programs.dir, "waybill/cmd/waybill", "waybill/cmd/waybill-ingest")
		if out, err := build.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("building the programs: %w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

// A world is a machine, its vault, disks and a tree to be saved, as people have them: used through the programs.
type world struct {
	t      *testing.T
	random *rand.Rand
	dir    string // of everything but the tree
	root   string
	trees  map[string]string // what points have, by their ids: copies of the tree
	takes  map[string]time.Duration
	kills  int
}

func newWorld(t *testing.T, seed uint64, o treetest.Options) *world {
	t.Helper()
	parent := ""
	if _, err := os.Stat("/dev/shm"); err == nil {
		parent = "/dev/shm"
	}
	w := &world{t: t, random: random(seed), dir: scratch(t), root: wild(t, parent), trees: map[string]string{}, takes: map[string]time.Duration{}}
	if err := treetest.Make(w.root, seed, o); err != nil {
		t.Fatal(err)
	}
	// The passphrase is only used here: making a key of one takes long on purpose.
	for text := range strings.Lines(w.must("vault", "create", "--credentials", w.path("credentials"), w.path("vault"))) {
		if l := w.parse(text); l["type"] == "vault" {
			write(t, w.path("recovery"), []byte(fmt.Sprint(l["recovery_key"])))
		}
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// command is a run of waybill, or of waybill-ingest when that is the first argument.
func (w *world) command(args ...string) *exec.Cmd {
	w.t.Helper()
	name := "waybill"
	if args[0] == "waybill-ingest" {
		name, args = args[0], args[1:]
	}
	cmd := exec.Command(program(w.t, name), append([]string{"--json"}, args...)...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "WAYBILL_STATE="+w.path("state"), "WAYBILL_PASSPHRASE=a passphrase for the proof")
	return cmd
}

// run runs a program to its end.
func (w *world) run(args ...string) (code cli.Code, out string) {
	w.t.Helper()
	b, err := w.command(args...).CombinedOutput()
	return w.code(err), string(b)
}

func (w *world) code(err error) cli.Code {
	w.t.Helper()
	e, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		w.t.Fatal(err)
	}
	if ok {
		return cli.Code(e.ExitCode())
	}
	return cli.OK
}

// must runs a program that must succeed, and returns what it said.
func (w *world) must(args ...string) string {
	w.t.Helper()
	code, out := w.run(args...)
	if strings.Contains(out, "panic:") || code != cli.OK {
		w.t.Fatalf("%v: exit code %d\n%s", args, code, out)
	}
	return out
}

// parse reads a line of JSON; what is none has no members.
func (w *world) parse(text string) (line map[string]any) {
	if json.Unmarshal([]byte(text), &line) != nil {
		return nil
	}
	return line
}
