package fanotify

import (
	"archive/tar"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkOverhead unpacks 100,000 tiny files with tar on each kind of file system, in turns with an agent and without. It tells what the
// agent costs whoever writes: in time, and in processor time of tar and the agent, for that matters where other processors are
// idle. And what memory the agent has then, and what a backup waits to be told of all.
//
//	go test -run '^$' -bench Overhead -benchtime 5x ./incremental/journal/fanotify
func BenchmarkOverhead(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind, func(b *testing.B) {
			needRoot(b)
			top := memory(b)
			archive := tinyFiles(b, top)
			m := map[string][]float64{}
			for b.Loop() {
				plain := unpack(b, top, kind, archive, false, m)
				told := unpack(b, top, kind, archive, true, m)
				m["overhead-%"] = append(m["overhead-%"], 100*(told.wall/plain.wall-1))
				m["cpu-overhead-%"] = append(m["cpu-overhead-%"], 100*((told.cpu+told.agent)/plain.cpu-1))
			}
			for name, list := range m {
				slices.Sort(list)
				b.ReportMetric(list[len(list)/2], name)
			}
		})
	}
}

func tinyFiles(b *testing.B, dir string) string {
	name := filepath.Join(dir, "tiny.tar")
	f, err := os.Create(name)
	must(b, err)
	w := tar.NewWriter(f)
	for i := range 100_000 {
		if i%50 == 0 {
			must(b, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("%d/", i/50), Mode: 0o755, ModTime: time.Unix(1e9, 0)}))
		}
		must(b, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%d/file%d", i/50, i), Size: 100, Mode: 0o644, ModTime: time.Unix(1e9, 0)}))
		_, err := w.Write(make([]byte, 100))
		must(b, err)
	}
	must(b, w.Close())
	must(b, f.Close())
	return name
}

// cost is what unpacking took, in seconds.
type cost struct{ wall, cpu, agent float64 }

func unpack(b *testing.B, top, kind, archive string, agent bool, m map[string][]float64) (c cost) {
	v := filepath.Join(top, "volume")
	must(b, os.MkdirAll(v, 0o755))
	source, data := "tmpfs", ""
	if kind != "tmpfs" {
		img := filepath.Join(top, "image")
		must(b, os.WriteFile(img, nil, 0o600))
		must(b, os.Truncate(img, 2<<30))
		run(b, "mkfs."+kind, "-q", img)
		source = run(b, "losetup", "-f", "--show", img)
		defer os.Remove(img)
		defer run(b, "losetup", "-d", source)
	}
	must(b, unix.Mount(source, v, kind, 0, data))
	defer func() { must(b, unix.Unmount(v, 0)) }()
	var cmd *exec.Cmd
	o := Options{StateDir: filepath.Join(top, "state"), Mounts: []string{v}}
	if agent {
		cmd = exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), agentEnv+`={"StateDir":"`+o.StateDir+`","Mounts":["`+v+`"]}`)
		must(b, cmd.Start())
		waitForAgent(b, o.StateDir, make(chan error))
		defer func() {
			must(b, cmd.Process.Signal(unix.SIGTERM))
			must(b, cmd.Wait())
			must(b, os.RemoveAll(o.StateDir))
		}()
	}
	start := time.Now()
	x := exec.Command("tar", "xf", archive, "-C", v)
	must(b, x.Run())
	c.wall = time.Since(start).Seconds()
	c.cpu = (x.ProcessState.UserTime() + x.ProcessState.SystemTime()).Seconds()
	name := "plain"
	if agent {
		name = "told"
		c.agent = measureAgent(b, o.StateDir, v, cmd.Process.Pid, m)
	}
	m[name+"-s"] = append(m[name+"-s"], c.wall)
	m[name+"-tar-cpu-s"] = append(m[name+"-tar-cpu-s"], c.cpu)
	return c
}

func measureAgent(b *testing.B, stateDir, v string, pid int, m map[string][]float64) float64 {
	start := time.Now()
	j, err := Open(stateDir, v)
	must(b, err)
	m["sync-ms"] = append(m["sync-ms"], float64(time.Since(start).Milliseconds()))
	s, err := j.Status(b.Context())
	must(b, err)
	must(b, j.Close())
	m["log-MiB"] = append(m["log-MiB"], float64(s.Next)/(1<<20))
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	var user, sys float64
	_, err = fmt.Sscan(f[11]+" "+f[12], &user, &sys)
	must(b, err)
	const ticks = 100 // per second: sysconf(_SC_CLK_TCK)
	cpu := (user + sys) / ticks
	m["agent-cpu-s"] = append(m["agent-cpu-s"], cpu)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(b, err)
	var rss float64
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(after, &rss)
	must(b, err)
	m["agent-rss-MiB"] = append(m["agent-rss-MiB"], rss/1024)
	return cpu
}

// BenchmarkChanges asks for 100 changed files of 100,000.
func BenchmarkChanges(b *testing.B) {
	for _, kind := range kinds[:2] {
		b.Run(kind, func(b *testing.B) {
			needRoot(b)
			top := memory(b)
			v := filepath.Join(top, "volume")
			must(b, os.Mkdir(v, 0o755))
			img := filepath.Join(top, "image")
			must(b, os.WriteFile(img, nil, 0o600))
			must(b, os.Truncate(img, 2<<30))
			run(b, "mkfs."+kind, "-q", img)
			mountHere(b, loop(b, img), v, kind, "")
			run(b, "tar", "xf", tinyFiles(b, top), "-C", v)
			s := b.TempDir()
			start(b, Options{StateDir: s, Mounts: []string{v}})
			j := open4(b, s, v)
			for b.Loop() {
				b.StopTimer()
				from := now(b, j)
				for i := range 100 {
					write(b, fmt.Sprintf("%s/%d/file%d", v, i*20, i*1000), "changed")
				}
				b.StartTimer()
				if d := changed(b, j, from); len(d.Dirs) != 100 {
					b.Fatalf("%d directories", len(d.Dirs))
				}
			}
		})
	}
}
