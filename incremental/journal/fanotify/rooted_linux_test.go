package fanotify

import (
	"bufio"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// startIn starts a process that has inner/file of a directory open for writing, which is the root of its own name space of mounts, until in is at its end.
func startIn(t *testing.T, root string, in *os.File) *exec.Cmd {
	t.Helper()
	for _, dir := range []string{"/usr", "/bin", "/lib", "/lib64"} {
		if err := unix.Mount(dir, root+dir, "", unix.MS_BIND, ""); err != nil {
			t.Skipf("binding %s: %v", dir, err)
		}
		t.Cleanup(func() { unmount(t, root+dir) })
	}
	cmd := exec.Command("unshare", "-m", "-R", root, "/bin/sh", "-c", "exec 7>>/inner/file; echo open; read x; exit 0")
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd
}
