package restore_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"waybill/internal/domain"
	"waybill/internal/pack/index"
	"waybill/internal/restore"
	"waybill/internal/treetest"
)

// A flaky source cancels the restore at its n-th frame.
type flaky struct {
	*domain.Domain
	left   int
	frames int
	cancel context.CancelFunc
}

func (f *flaky) Frame(ctx context.Context, loc index.Loc, dst []byte) ([]byte, error) {
	f.frames++
	if f.left--; f.left == 0 {
		f.cancel()
	}
	return f.Domain.Frame(ctx, loc, dst)
}

func TestInterruptedRestoreGoesOn(t *testing.T) {
	m, src := newMachine(t), temp(t)
	if err := treetest.Make(src, 3, treetest.Options{Entries: 300}); err != nil {
		t.Fatal(err)
	}
	m.backup(src)
	for _, mode := range []restore.Conflict{restore.Copy, restore.Overwrite, restore.Skip, restore.Fail} {
		for _, at := range []int{1, 2, 5, 8} {
			t.Run(fmt.Sprint(mode, at), func(t *testing.T) {
				to := temp(t)
				ctx, cancel := context.WithCancel(t.Context())
				d := m.open(true)
				_, err := restore.Run(ctx, &flaky{Domain: d, left: at, cancel: cancel}, m.point(d, "latest"),
					restore.Options{To: to, Conflict: mode, Workers: 1})
				if !isErr(err, context.Canceled) {
					t.Fatalf("error is %v", err)
				}
				settle()
				m.restore(restore.Options{To: to, Conflict: mode})
				m.same(to, src)
			})
		}
	}
}

func TestWhatIsCompleteIsNotFetchedAgain(t *testing.T) {
	m, src := newMachine(t), temp(t)
	for i := range 100 {
		write(t, fmt.Sprintf("%s/d%02d/f", src, i), noise(100<<10, byte(i)))
	}
	m.backup(src)
	d, to := m.open(true), temp(t)
	run := func(cancelAt int, to string) (*restore.Report, int, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		src := &flaky{Domain: d, left: cancelAt, cancel: cancel}
		r, err := restore.Run(ctx, src, m.point(d, "latest"), restore.Options{To: to, Workers: 1})
		return r, src.frames, err
	}
	_, all, _ := run(0, temp(t))
	_, first, err := run(all/2+1, to)
	if !isErr(err, context.Canceled) {
		t.Fatalf("error is %v after %d of %d frames", err, first, all)
	}
	r, second, err := run(0, to)
	if err != nil || r.Kept == 0 || r.Kept+r.Files != 100 {
		t.Errorf("%v %+v", err, r)
	}
	if first+second > all+1 { // the one it was interrupted at
		t.Errorf("%d frames were read, then %d; there are %d", first, second, all)
	}
	m.same(to, src)
}

// What another program put there meanwhile is not taken for what was restored.
func TestOthersFilesAreNotKept(t *testing.T) {
	m, src := newMachine(t), temp(t)
	write(t, src+"/a", []byte("saved"))
	write(t, src+"/b", []byte("saved"))
	when := time.Unix(1_600_000_000, 123)
	os.Chtimes(src+"/a", when, when)
	m.backup(src)
	to := temp(t)
	write(t, to+src+"/a", []byte("older"))
	os.Chtimes(to+src+"/a", when, when)
	settle()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := m.open(true)
	if _, err := restore.Run(ctx, d, m.point(d, "latest"), restore.Options{To: to}); err == nil {
		t.Fatal("not interrupted")
	}
	m.restore(restore.Options{To: to, Conflict: restore.Overwrite})
	has(t, to+src+"/a", []byte("saved"))
}

// TestKilled kills a restore in a process of its own again and again, and lets the last one end.
func TestKilled(t *testing.T) {
	m, src := newMachine(t), temp(t)
	if err := treetest.Make(src, 11, treetest.Options{Entries: 400}); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		write(t, fmt.Sprintf("%s/many/%d/%d", src, i%50, i), noise(i%9000, byte(i)))
	}
	m.backup(src)
	killed := 0
	for round := range 6 {
		to := temp(t)
		for attempt := range 8 {
			killed := m.inProcess(t, to, time.Duration(1+round*3+attempt*4)*time.Millisecond)
			halfVisible(t, to, src)
			if !killed {
				break
			}
		}
		if _, err := os.Stat(filepath.Join(to, ".waybill-restore-"+m.point(m.open(true), "latest").Digest.String()[:16])); err == nil {
			killed++
			m.restore(restore.Options{To: to})
		}
		m.same(to, src)
	}
	t.Logf("%d restores were gone on with after they had been killed", killed)
}

// inProcess restores in another process and kills it some time after it began to write.
func (m *machine) inProcess(t *testing.T, to string, after time.Duration) (killed bool) {
	t.Helper()
	cmd := m.child(t, os.Args[0], to, temp(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(out).ReadString('\n') // it begins
	time.Sleep(after)
	cmd.Process.Signal(syscall.SIGKILL)
	return cmd.Wait() != nil
}

// child is a restore of the latest point in another process.
func (m *machine) child(t *testing.T, exe, to, scratch string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "WAYBILL_TEST_RESTORE="+strings.Join([]string{m.dir, fmt.Sprint(m.keys.Recovery), to, string(m.doc.SigningKey), scratch + "/index"}, "\n"))
	return cmd
}

// halfVisible fails when a file has its name but not its content.
func halfVisible(t *testing.T, to, src string) {
	t.Helper()
	filepath.WalkDir(to, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".waybill") {
			return nil
		}
		got, err1 := os.ReadFile(path)
		want, err2 := os.ReadFile(strings.TrimPrefix(path, to))
		if err1 == nil && err2 == nil && string(got) != string(want) {
			t.Errorf("%s is there with another content", path)
		}
		return nil
	})
}
