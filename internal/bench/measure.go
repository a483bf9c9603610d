package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A sample is one measured run of one command.
type sample struct {
	Seconds float64 `json:"seconds"`
	User    float64 `json:"user_seconds"`
	System  float64 `json:"system_seconds"`
	// Peak is the largest resident set of any one process of the command, in bytes. It can't be below that of this
	// process, about 20 MB, which children start from.
	Peak int64 `json:"peak_bytes"`
	// Stored is by how much the repository grew, in bytes.
	Stored int64 `json:"stored_bytes"`
	// Read is how many bytes of the source it read, where the program says so.
	Read int64 `json:"read_bytes,omitempty"`
	// Requests is how many a service answered.
	Requests int64 `json:"requests,omitempty"`
}

// A command is a program with its arguments, and where and with which environment it runs.
type command struct {
	args []string
	dir  string
	env  []string // added to a small clean environment

	stdout io.Writer // nil for nowhere
}

// shell is a command of sh, in which args are $1 and on.
func shell(script string, args ...string) []string {
	return append([]string{"sh", "-c", script, "sh"}, args...)
}

// measure runs c and says what it cost. The error shows what the command said.
func (c *command) measure(ctx context.Context) (sample, error) {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir, "LC_ALL=C.UTF-8"}, c.env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = c.stdout, &said
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, tail(said.String(), 2000))
	}
	return sample{
		Seconds: took.Seconds(),
		User:    cmd.ProcessState.UserTime().Seconds(),
		System:  cmd.ProcessState.SystemTime().Seconds(),
		Peak:    peak(cmd.ProcessState),
	}, nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return "... " + s[len(s)-n:]
	}
	return s
}

// say runs a program that is not measured, and fails with what it said.
func say(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
