package source

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFileSystem(t *testing.T) {
	for path, want := range map[string]FileSystem{
		"/proc":    {"proc", true, coarseSlack},
		"/sys":     {"sysfs", true, coarseSlack},
		"/dev/shm": {"tmpfs", false, fineSlack},
	} {
		d, err := OpenDir(path)
		if err != nil {
			t.Log(err)
			continue
		}
		if got, err := d.FileSystem(); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", path, got, err, want)
		}
		d.Close()
	}
	for magic, fs := range fileSystems {
		if fs.Name == "" || fs.Slack == 0 {
			t.Errorf("%#x: %+v", magic, fs)
		}
	}
}

// TestSlack: a change made now is never stamped earlier than by the slack, on the file system at hand.
func TestSlack(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	fs, err := d.FileSystem()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		name := fmt.Sprint(i)
		before := time.Now()
		write(t, filepath.Join(root, name), nil)
		var st Stat
		if err := d.StatName([]byte(name), &st); err != nil {
			t.Fatal(err)
		}
		if early := before.Sub(time.Unix(st.CtimeSec, int64(st.CtimeNsec))); early > fs.Slack {
			t.Errorf("stamped %v early, slack %v", early, fs.Slack)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTurns makes a sysfs: sda turns and has a partition, sdb doesn't, vda only says so.
func TestTurns(t *testing.T) {
	sys := t.TempDir()
	blocks := filepath.Join(sys, "dev/block")
	for _, dir := range []string{"dev/block", "devices/sda/queue", "devices/sda/sda1", "devices/sdb/queue", "devices/vda/queue"} {
		if err := os.MkdirAll(filepath.Join(sys, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for disk, says := range map[string]string{"sda": "1\n", "sdb": "0\n", "vda": "1\n"} {
		write(t, filepath.Join(sys, "devices", disk, "queue/rotational"), []byte(says))
	}
	for number, to := range map[string]string{"8:0": "sda", "8:1": "sda/sda1", "8:16": "sdb", "254:0": "vda"} {
		if err := os.Symlink("../../devices/"+to, filepath.Join(blocks, number)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		major, minor uint32
		want         bool
	}{{8, 0, true}, {8, 1, true}, {8, 16, false}, {254, 0, false}, {9, 9, false}} {
		if got := turns(blocks, c.major, c.minor); got != c.want {
			t.Errorf("%d:%d turns: %v, want %v", c.major, c.minor, got, c.want)
		}
	}
	Rotational("/") // whatever it says
}
