package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"waybill/cmd/internal/ingestcmd"
	"waybill/internal/azurite"
	"waybill/internal/cli"
	"waybill/internal/fault"
	"waybill/internal/keys"
)

func TestMain(m *testing.M) {
	testscript.Main(stopping{m}, map[string]func(){
		"waybill":        func() { os.Exit(run(keys.Cost{Time: 1, MemoryKiB: 64, Threads: 1})) },
		"waybill-ingest": func() { os.Exit(ingestcmd.Main(os.Args[1:])) },
	})
}

// azure is the storage account of the scripts that ask for it by the condition [azurite]: one server for all of them.
var (
	azure      azurite.Server
	startAzure = sync.OnceValue(func() error { return azure.Run() })
)

// stopping runs the tests, and ends what they started.
type stopping struct{ *testing.M }

func (s stopping) Run() int {
	defer azure.Stop()
	return s.M.Run()
}

// The scripts use the program as people do. Beside testscript's own commands they have
//
//	exits CODE PROGRAM ARG...   runs it, and expects just this exit code
//	protected [STATE]           a new vault in vault/, and a machine registered in it
//	corrupt FILE OFFSET         flips a bit; an offset below 0 counts from the end
//	cutoff FILE SIZE            truncates
//	copytree FROM TO            copies a directory
//	packof FILE CLASS VAR       sets a variable to the name of a pack of that class in `manifest show --json --packs`
//	waitfor PATTERN [N]         waits until so many files, or one, are there
//	removeall PATTERN           removes files
//	smalldisk DIR MIB           mounts a disk of that size on a new directory; the condition [fuse] tells whether that can be done
//	loopdisk DIR KIND MIB       mounts a new file system of that kind and size on a new directory; the condition [loop:KIND] tells whether that can be done
//	container VAR               sets a variable to the address of a container that no other script has, and that is not there yet, and CONTAINER to its
//	                            bare name; in the account of AZURITE_ENDPOINT, whose key is AZURITE_KEY; after [!azurite] skip
//	line VAR                    a container's address, as container, at the far end of a line of its own
//	line cut|mend               breaks it and all that is on it, or makes it whole
//	line sent MIB               waits until so much was sent over it since it was made or counted
//	line count MIB              fails when more than that was sent since; and counts anew
//	thief STATE                 tries to open what is in a machine's vault with all that its state has, and fails when more opens than should
//	carry DIR ADDRESS           uploads a directory into a container, as a Data Box does
//	readme HEADING FILE         writes the commands of a page of README.md into a file, but for its settings
//	member FILE LINE NAME VAR   sets a variable to a member of a JSON line, counted from 1
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("WAYBILL_STATE", filepath.Join(env.WorkDir, "state"))
			env.Setenv("WAYBILL_PASSPHRASE", "the passphrase of the tests")
			env.Setenv("TZ", "UTC")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "fuse" {
				return fault.Available(), nil
			}
			if cond == "azurite" {
				err := startAzure()
				return err == nil, ignore(err, azurite.ErrAbsent)
			}
			if kind, ok := strings.CutPrefix(cond, "loop:"); ok {
				_, err := exec.LookPath("mkfs." + kind)
				_, noLoop := os.Stat("/dev/loop-control")
				return err == nil && noLoop == nil && os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no condition is called %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "thief": thief, "carry": carry, "readme": readme, "container": container, "line": lineTo, "protected": protected, "corrupt": corrupt, "cutoff": cutoff, "member": member, "copytree": copytree, "removeall": removeAll, "waitfor": waitFor, "packof": packOf, "smalldisk": smallDisk, "loopdisk": loopDisk,
		},
	})
}

// ignore is err, unless it is that one.
func ignore(err, that error) error {
	if errors.Is(err, that) {
		return nil
	}
	return err
}

func container(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: container variable")
	}
	ts.Setenv("AZURITE_ENDPOINT", azure.Endpoint)
	ts.Setenv("AZURITE_KEY", azurite.Key)
	name := azurite.Name()
	ts.Setenv("CONTAINER", name)
	ts.Setenv(args[0], azure.Address(name))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program arg...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func protected(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Exec("waybill", "vault", "create", "-q", "vault"))
	ts.Check(ts.Exec("waybill", "register", "-q", "waybill-credentials.json"))
}

func corrupt(ts *testscript.TestScript, _ bool, args []string) {
	name, b, n := fileAt(ts, args)
	if n < 0 {
		n += len(b)
	}
	if n < 0 || n >= len(b) {
		ts.Fatalf("%s has %d bytes", name, len(b))
	}
	b[n] ^= 1
	ts.Check(os.WriteFile(name, b, 0o666))
}

func cutoff(ts *testscript.TestScript, _ bool, args []string) {
	name, _, n := fileAt(ts, args)
	ts.Check(os.Truncate(name, int64(n)))
}

func copytree(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: copytree from to")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

func packOf(ts *testscript.TestScript, _ bool, args []string) {
	var v struct {
		List []struct{ SHA256, Class string }
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	for _, p := range v.List {
		if p.Class == args[1] {
			ts.Setenv(args[2], p.SHA256)
			return
		}
	}
	ts.Fatalf("%s has no pack of %s", args[0], args[1])
}

func smallDisk(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: smalldisk dir MiB")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	dir, backing := ts.MkAbs(args[0]), ts.MkAbs(args[0]+".backing")
	ts.Check(errors.Join(os.Mkdir(dir, 0o777), os.Mkdir(backing, 0o777)))
	d, err := fault.Mount(backing, dir, fault.Faults{Size: size << 20})
	ts.Check(err)
	ts.Defer(func() { ts.Check(d.Close()) })
}

func loopDisk(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: loopdisk dir kind MiB")
	}
	size, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	shm := "/dev/shm" // where what is cached stays
	if _, err := os.Stat(shm); err != nil {
		shm = ""
	}
	image, err := os.CreateTemp(shm, "waybill-loop-")
	ts.Check(err)
	ts.Defer(func() { ts.Check(os.Remove(image.Name())) })
	dir := ts.MkAbs(args[0])
	ts.Check(errors.Join(image.Truncate(size<<20), image.Close(), os.Mkdir(dir, 0o777)))
	ts.Check(ts.Exec("mkfs."+args[1], "-q", image.Name()))
	ts.Check(ts.Exec("mount", "-o", "loop", image.Name(), dir))
	ts.Defer(func() { ts.Check(exec.Command("umount", dir).Run()) })
}

func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	n := 1
	if len(args) == 2 {
		var err error
		n, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	for range 1000 {
		if names, err := filepath.Glob(ts.MkAbs(args[0])); err == nil && len(names) >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s has not come", args[0])
}

func removeAll(ts *testscript.TestScript, _ bool, args []string) {
	for _, arg := range args {
		names, err := filepath.Glob(ts.MkAbs(arg))
		ts.Check(err)
		for _, name := range names {
			ts.Check(os.Remove(name))
		}
	}
}

func member(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: member file line name variable")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	lines := strings.Split(ts.ReadFile(args[0]), "\n")
	if n > len(lines) {
		ts.Fatalf("%s has %d lines", args[0], len(lines))
	}
	var v map[string]any
	ts.Check(json.Unmarshal([]byte(lines[n-1]), &v))
	ts.Setenv(args[3], fmt.Sprint(v[args[2]]))
}

// fileAt reads the one file that a pattern names, and a number.
func fileAt(ts *testscript.TestScript, args []string) (name string, b []byte, n int) {
	if len(args) != 2 {
		ts.Fatalf("usage: command file number")
	}
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("there is no %s", args[0])
	}
	b, err = os.ReadFile(names[0])
	ts.Check(err)
	n, err = strconv.Atoi(args[1])
	ts.Check(err)
	return names[0], b, n
}

// The README says what the exit codes mean, in the same words.
func TestReadmeListsExitCodes(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range cli.Exits() {
		if line := fmt.Sprintf("| %d | %s |\n", e.Code, e.Meaning); !strings.Contains(string(b), line) {
			t.Errorf("README.md has no line %q", line)
		}
	}
}
