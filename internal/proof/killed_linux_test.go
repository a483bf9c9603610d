package proof

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"waybill/incremental/journal/journaltest"
	"waybill/incremental/volumes"
	"waybill/ingest/vault"
	"waybill/internal/catalog"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/keys"
	"waybill/internal/treetest"
	"waybill/manifest"
)

// killAfter runs a program and kills it after a time, with SIGKILL, unless it has ended by then. When a warning is given it is
// interrupted so much earlier, as by Ctrl-C, and may end well before. It returns what the program said, and whether it was killed.
func killAfter(t *testing.T, cmd *exec.Cmd, after, warning time.Duration) (out string, killed bool, err error) {
	t.Helper()
	var b strings.Builder
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if warning > 0 {
		defer time.AfterFunc(after, func() { cmd.Process.Signal(os.Interrupt) }).Stop()
	}
	defer time.AfterFunc(after+warning, func() { cmd.Process.Kill() }).Stop()
	err = cmd.Wait()
	e, ok := errors.AsType[*exec.ExitError](err)
	killed = ok && (e.ExitCode() == -1 || warning > 0 && e.ExitCode() == int(cli.Interrupted))
	return b.String(), killed, err
}

// moment is a random time until which a program that takes about that long is let run; now and then longer.
func moment(r *rand.Rand, takes time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(takes + takes/5)))
}

// Child is the part of TestBackupsWithCheckpointsAreKilled, and of TestJournalledBackupsAreKilled, that is killed: a backup with many
// checkpoints, by a machine whose things are in a directory.
func TestChild(t *testing.T) {
	dir := os.Getenv("WAYBILL_PROOF_CHILD")
	if dir == "" {
		t.Skip("it is run by TestBackupsWithCheckpointsAreKilled, as a program of its own")
	}
	recovery := must[*age.X25519Identity](t)(age.ParseX25519Identity(string(must[[]byte](t)(os.ReadFile(dir + "/recovery")))))
	secrets := must[*keys.Secrets](t)(keys.ParseSecrets(must[[]byte](t)(os.ReadFile(dir + "/secrets"))))
	m := &machine{t: t, id: identityOf(recovery, secrets), index: dir + "/index", vault: must[*vault.Dir](t)(vault.Open(dir + "/vault"))}
	if state, err := os.Readlink(dir + "/state"); err == nil {
		m.volumes = volumes.Options{Mode: volumes.Required, Snapshot: true, StateDir: state}
	}
	m.backup(string(must[[]byte](t)(os.ReadFile(dir + "/root"))))
}

// A backup is killed at any moment, again and again. After each time the chain is valid and every point reads back exactly; what was
// committed stays, and at last a backup gets to its end.
func TestBackupsWithCheckpointsAreKilled(t *testing.T) {
	id, root := newIdentity(t), smallTree(t)
	settle()
	want := snap(t, root)
	takes := time.Duration(0)
	kills, checkpoints := 0, 0
	randomly(t, 8*time.Second, func(t *testing.T, seed uint64) {
		r := random(seed)
		m := newMachine(t, id)
		child := m.child(root)
		var ids []manifest.Digest
		for try := 0; ; try++ {
			after := time.Minute
			if takes > 0 && try < 5 {
				after = moment(r, takes)
			}
			began := time.Now()
			out, killed, err := killAfter(t, child(), after, 0)
			if !killed && err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !killed {
				takes = max(takes/2, time.Since(began)) // more or less: others are at work here, too
			}
			now := m.sound(root, want)
			if len(now) < len(ids) || fmt.Sprint(now[:len(ids)]) != fmt.Sprint(ids) {
				t.Errorf("the chain was %v, and is %v", ids, now)
			}
			if ids = now; killed {
				kills, checkpoints = kills+1, checkpoints+len(ids)
				continue
			}
			var last domain.Point
			if m.points(func(_ *domain.Domain, p domain.Point) { last = p }); last.State != catalog.Complete {
				t.Errorf("the last point is %s", last.State)
			}
			return
		}
	})
	t.Logf("killed %d times, when there were %.1f commits on average", kills, float64(checkpoints)/float64(max(kills, 1)))
}

// child writes down what the machine is, and returns what makes the program that backs it up.
func (m *machine) child(root string) func() *exec.Cmd {
	m.t.Helper()
	dir := scratch(m.t)
	for name, b := range map[string][]byte{"recovery": []byte(m.id.recovery.String()), "secrets": must[[]byte](m.t)(m.id.secrets.Encode()), "root": []byte(root)} {
		write(m.t, filepath.Join(dir, name), b)
	}
	links := map[string]string{"vault": m.vault.Path(), "index": m.index}
	if m.volumes.StateDir != "" {
		links["state"] = m.volumes.StateDir
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			m.t.Fatal(err)
		}
	}
	return func() *exec.Cmd {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestChild$")
		cmd.Env = append(os.Environ(), "WAYBILL_PROOF_CHILD="+dir)
		return cmd
	}
}

// Backups that go by a journal are killed at any moment, between changes. The cursor never passes what is durable: the next one that gets to
// its end, which may not scan, has what a machine finds that reads everything. Snapshots of the dead are gone then.
func TestJournalledBackupsAreKilled(t *testing.T) {
	id, volume := newIdentity(t), journaltest.Mount(t, "btrfs", 512<<20)
	kills, ends := 0, 0
	randomly(t, 8*time.Second, func(t *testing.T, seed uint64) {
		r := random(seed)
		root := filepath.Join(volume, fmt.Sprint("tree", seed))
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := treetest.Make(root, seed, treetest.Options{Entries: 60, MaxFile: 300 << 10, Shallow: true}); err != nil {
			t.Fatal(err)
		}
		defer treetest.RemoveAll(root)
		m := newMachine(t, id)
		m.volumes.StateDir = scratch(t)
		child := m.child(root)
		takes := time.Second
		for range 8 {
			if _, err := treetest.Edit(root, r.Uint64(), 1+r.IntN(20)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			out, killed, err := killAfter(t, child(), moment(r, takes), 0)
			if killed {
				kills++
				continue
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			takes = time.Since(began)
			ends++
			m.hasAll(root)
		}
		if out, err := child().CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		m.hasAll(root)
		left, err := filepath.Glob(volume + "/.waybill/waybill-*")
		if err != nil || len(left) > 0 {
			t.Errorf("snapshots are left: %q, %v", left, err)
		}
	})
	t.Logf("killed %d times, at the end %d times", kills, ends)
}

// hasAll compares the newest point with that of a new machine, which reads everything.
func (m *machine) hasAll(root string) {
	m.t.Helper()
	other := newMachine(m.t, m.id)
	other.backup(root)
	var got, want []byte
	read := func(m *machine, into *[]byte) {
		m.points(func(d *domain.Domain, p domain.Point) {
			e := must[catalog.Entry](m.t)(m.entry(d, p, root))
			*into = e.Append(nil)
		})
	}
	read(m, &got)
	read(other, &want)
	if !bytes.Equal(got, want) {
		m.t.Errorf("the point has %x, a scan %x", got, want)
	}
}
