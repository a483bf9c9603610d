// Package azurite runs Azurite, Microsoft's own emulator of Azure Blob Storage, for tests.
//
//	var server azurite.Server
//	func TestMain(m *testing.M) { server.Main(m) }
//	func TestX(t *testing.T) { a := server.Start(t) ... a.Container(t) }
//
// One process serves a test binary: it is started by the first test that asks, on a free loopback port, and ended after the last. `just _azurite` installs
// it; where it isn't, tests skip. It keeps everything in memory.
package azurite

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// The account that every Azurite has, and its key, which its documentation gives to all the world.
const (
	Account = "devstoreaccount1"
	Key     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// A Server is one Azurite. The zero value starts when it is asked; it is safe for concurrent use.
type Server struct {
	Endpoint string    // of the account's blob service, once it runs
	Log      io.Writer // if it is set, gets a line for every request

	once sync.Once
	err  error
	cmd  *exec.Cmd
	done chan struct{} // closed when its output has ended
}

// ErrAbsent says that Azurite isn't installed.
var ErrAbsent = errors.New("the emulator Azurite is not installed: `just _azurite`")

// Start starts the server if it doesn't run, and skips the test where it isn't installed.
func (s *Server) Start(t testing.TB) *Server {
	t.Helper()
	s.once.Do(func() { s.err = s.Run() })
	if errors.Is(s.err, ErrAbsent) {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s
}

// Main runs a package's tests and ends the server after them.
func (s *Server) Main(m *testing.M) {
	code := m.Run()
	s.Stop()
	os.Exit(code)
}

var listening = regexp.MustCompile(`successfully listens on (https?://\S+)`)

// Run starts the server, with more of its arguments if there are, and waits until it listens; ErrAbsent where it isn't installed.
// Programs that are no tests call it, and Stop.
func (s *Server) Run(more ...string) error {
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "testdata", "node_modules", "azurite", "dist", "src", "blob", "main.js")
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(script)
	}
	if err != nil {
		return ErrAbsent
	}
	args := append([]string{script, "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"}, more...)
	if s.Log == nil {
		args = append(args, "--silent")
	}
	s.cmd = exec.Command(node, args...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.cmd.Stderr = s.cmd.Stdout
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return s.await(out)
}

// startIn is how long a server may take to listen.
const startIn = time.Minute

// await reads what the server says until it listens, and goes on reading.
func (s *Server) await(out io.Reader) error {
	var said []string
	late := time.AfterFunc(startIn, func() { s.cmd.Process.Kill() }) // ends its output
	defer late.Stop()
	lines := bufio.NewScanner(out)
	for s.Endpoint == "" && lines.Scan() {
		said = append(said, lines.Text())
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			s.Endpoint = strings.TrimSuffix(m[1], "/") + "/" + Account
		}
	}
	if s.Endpoint == "" {
		s.Stop()
		return fmt.Errorf("the emulator Azurite does not run: %s", strings.Join(said, "\n"))
	}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		to := s.Log
		if to == nil {
			to = io.Discard
		}
		io.Copy(to, out)
	}()
	return nil
}

// Stop ends the server.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	if s.done != nil {
		<-s.done
	}
	s.cmd.Wait()
	s.cmd, s.Endpoint = nil, ""
}

// Address is that of a vault in the named container.
func (s *Server) Address(container string) string {
	return "azblob://" + Account + "/" + container + "?" + url.Values{"endpoint": {s.Endpoint}}.Encode()
}

// Name is a container's name that no other test has.
func Name() string { return "t-" + strings.ToLower(rand.Text()) }
