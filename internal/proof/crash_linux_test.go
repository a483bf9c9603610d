package proof

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/ingest"
	"waybill/internal/cli"
	"waybill/internal/durable"
	"waybill/internal/treetest"
	"waybill/manifest"
)

// The real programs are killed at random moments, from registration to restore, and run again until they get to their end. After
// each kill what is in the vault and on the disks is whole; at the end every point is, and restores as it was.
func TestProgramsAreKilled(t *testing.T) {
	kills := 0
	randomly(t, 20*time.Second, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, treetest.Options{Entries: 60, MaxFile: 512 << 10, Shallow: true})
		w.live()
		kills += w.kills
	})
	t.Logf("killed %d times", kills)
}

func (w *world) live() {
	w.t.Helper()
	w.stubbornly("register", w.path("credentials"))
	w.seedAndIngest()
	for range 3 {
		w.edit()
		w.stubbornly("backup", w.root)
		w.keep("latest")
	}
	w.must("verify", "--data", "--recovery-key-file", w.path("recovery"), w.path("vault"))
	for id, tree := range w.trees {
		w.compare(tree, w.restored(id), "point "+id+" at the end")
	}
}

// seedAndIngest brings the first point into the vault on two disks. Sometimes there is a backup before they arrive.
func (w *world) seedAndIngest() {
	w.t.Helper()
	disks := []string{w.path("disk1"), w.path("disk2")}
	for _, d := range disks {
		if err := os.Mkdir(d, 0o777); err != nil {
			w.t.Fatal(err)
		}
	}
	w.stubbornly("seed", "--pack-size", "1MiB", "--to", disks[0], "--to", disks[1], w.root)
	for _, d := range disks {
		w.must("verify", d)
	}
	w.keep("latest", "--from", disks[0], "--from", disks[1])
	if early := w.random.IntN(2) == 0; early {
		w.edit()
		w.stubbornly("backup")
		defer w.keep("latest")
	}
	if w.random.IntN(2) == 0 {
		disks[0], disks[1] = disks[1], disks[0]
	}
	w.stubbornly("waybill-ingest", "--vault", w.path("vault"), disks[0], disks[1])
	w.must("verify", w.path("vault"))
}

func (w *world) edit() {
	w.t.Helper()
	if _, err := treetest.Edit(w.root, w.random.Uint64(), 1+w.random.IntN(20)); err != nil {
		w.t.Fatal(err)
	}
}

// stubbornly runs a program that is killed at random moments until it gets to its end.
func (w *world) stubbornly(args ...string) {
	w.t.Helper()
	for try := 0; ; try++ {
		after, warning := time.Minute, time.Duration(0)
		if takes, ok := w.takes[args[0]]; ok && try < 5 || !ok && try == 0 {
			after = moment(w.random, max(takes, 30*time.Millisecond))
			if w.random.IntN(3) == 0 {
				warning = time.Duration(w.random.Int64N(int64(40 * time.Millisecond)))
			}
		}
		began := time.Now()
		out, killed, err := killAfter(w.t, w.command(args...), after, warning)
		if killed && after < time.Minute {
			w.kills++
			w.sound()
			if args[0] == "restore" && w.isDone(args) {
				return
			}
			continue
		}
		w.takes[args[0]] = time.Since(began)
		if code := w.code(err); code != cli.OK && !alreadyDone(args[0], out) {
			w.t.Fatalf("%v: exit code %d\n%s", args, code, out)
		}
		return
	}
}

// alreadyDone tells whether a program was killed after its work was done, before it could say so.
func alreadyDone(command, out string) bool {
	return command == "register" && strings.Contains(out, "this machine is registered already") ||
		command == "seed" && strings.Contains(out, "has a complete recovery point already")
}

// isDone tells the same of a restore, which then would begin anew: it keeps a ledger as long as it isn't.
func (w *world) isDone(args []string) bool {
	w.t.Helper()
	entries, err := os.ReadDir(w.target(args))
	if err != nil || len(entries) == 0 {
		return false // not even begun
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".waybill-restore-") {
			return false
		}
	}
	return true
}

func (w *world) target(args []string) string {
	for i, arg := range args {
		if arg == "--to" {
			return args[i+1]
		}
	}
	return ""
}

// sound checks that nothing of the vault or the disks is damaged, or signed wrongly. Incomplete they may be.
func (w *world) sound() {
	w.t.Helper()
	for _, name := range []string{"vault", "disk1", "disk2"} {
		d, err := durable.Open(w.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		r, err := ingest.Verify(w.t.Context(), ingest.Source{Name: name, Reader: d}, ingest.Options{})
		d.Close()
		var incomplete *ingest.IncompleteError
		if err == nil || errors.As(err, &incomplete) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, ingest.ErrEmpty) {
			err = nil
		}
		if err != nil || r != nil && len(r.Damaged) > 0 {
			w.t.Fatalf("%s after a kill: %v", name, err)
		}
	}
}

// restored restores a point, in whatever is done to the program, and returns where the tree is.
func (w *world) restored(point string, more ...string) string {
	w.t.Helper()
	to := wild(w.t, w.dir)
	mode := []string{"copy", "overwrite", "skip", "fail"}[w.random.IntN(4)]
	w.stubbornly(append([]string{"restore", point, "--to", to, "--conflict", mode, "--recovery-key-file", w.path("recovery")}, more...)...)
	return filepath.Join(to, w.root)
}

// keep restores a point that has the tree as it is now, and keeps the copy.
func (w *world) keep(point string, more ...string) {
	w.t.Helper()
	id := ""
	for _, p := range w.points(more...) {
		if p.State == "complete" {
			id = p.ID.String()
		}
	}
	tree := w.restored(point, more...)
	w.compare(w.root, tree, "point "+id)
	w.trees[id] = tree
}

func (w *world) compare(want, got, what string) {
	w.t.Helper()
	differences := treetest.Compare(want, got)
	for _, d := range differences {
		w.t.Errorf("%s: %s", what, d)
	}
	if len(differences) > 0 {
		w.t.FailNow()
	}
}

// point is a line of `waybill points`.
type point struct {
	ID    manifest.Digest
	State string
}

func (w *world) points(more ...string) (all []point) {
	w.t.Helper()
	for text := range strings.Lines(w.must(append([]string{"points"}, more...)...)) {
		var p point
		if l := w.parse(text); l["type"] == "point" {
			id, err := manifest.ParseDigest(fmt.Sprint(l["id"]))
			if err != nil {
				w.t.Fatal(err)
			}
			p.ID, p.State = id, fmt.Sprint(l["state"])
			all = append(all, p)
		}
	}
	return all
}
