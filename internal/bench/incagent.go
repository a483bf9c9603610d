package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// agent is a file system without a journal of its own, which the agent watches; and what it costs to be watched.
func (b *increments) agent(ctx context.Context) error {
	if !b.can.agent {
		fmt.Fprintln(b.log, "left out: agent: this waybill has none")
		return nil
	}
	t, err := b.tree(b.files, tenRoom)
	if err != nil {
		return err
	}
	return b.on(ctx, groupAgent, "ext4", int64(b.files)*2<<10+1<<30, t.fillAt, func(ctx context.Context, v *volume) (err error) {
		if err := setUp(ctx, waybillOnline(b.bin), v.ours); err != nil {
			return err
		}
		watched := func(ctx context.Context, _ int) error {
			return errors.Join(b.first(ctx, v), b.changes(ctx, v, t))
		}
		if err := b.watched(ctx, v, watched); err != nil {
			return err
		}
		return b.overhead(ctx, v, t)
	})
}

// watched does something while the agent runs.
func (b *increments) watched(ctx context.Context, v *volume, do func(ctx context.Context, pid int) error) (err error) {
	a, err := startAgent(b.command(v, "agent", v.source), filepath.Join(v.ours.own, "state", "agent", "socket"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	return do(ctx, a.cmd.Process.Pid)
}

// overhead extracts an archive with and without the agent, in turn.
func (b *increments) overhead(ctx context.Context, v *volume, t *tree) error {
	archive, out := filepath.Join(v.top, "some.tar"), filepath.Join(filepath.Dir(v.source), "out")
	if err := say(ctx, append([]string{"tar", "-C", t.dir, "-cf", archive}, t.some(tarFiles)...)...); err != nil {
		return err
	}
	extract := func(row string) error {
		if err := os.Mkdir(out, 0o777); err != nil {
			return err
		}
		s, err := (&command{args: []string{"tar", "-C", out, "-xf", archive}, dir: v.top}).measure(ctx)
		if err != nil {
			return err
		}
		b.add(v.name, "waybill", row, s)
		return errors.Join(os.RemoveAll(out), settle(v.source))
	}
	for range b.runs {
		if err := extract(rowTar); err != nil {
			return err
		}
		err := b.watched(ctx, v, func(ctx context.Context, pid int) error {
			if err := extract(rowTarAgent); err != nil {
				return err
			}
			time.Sleep(idleAfter)
			has, err := resident(pid)
			b.add(v.name, "waybill", rowIdle, sample{Peak: has})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	tarFiles  = 100_000
	idleAfter = 3 * time.Second // it has written its log and given back what it used
)

// some names directories of the tree that hold so many files, or half of all.
func (t *tree) some(files int) (names []string) {
	for n := 0; n < min(files/treePerDir, t.dirs()/2); n += treePerGroup {
		names = append(names, t.groupName(n))
	}
	return names
}

// An agent is one that runs beside what is measured.
type agent struct {
	cmd   *exec.Cmd
	said  *bytes.Buffer // to be read once it has ended
	ended chan error
}

// startAgent returns when the agent can be asked, which is when its socket is there.
func startAgent(c *command, socket string) (*agent, error) {
	a := &agent{cmd: exec.Command(c.args[0], c.args[1:]...), said: &bytes.Buffer{}, ended: make(chan error, 1)}
	a.cmd.Dir, a.cmd.Env = c.dir, append(os.Environ(), c.env...)
	a.cmd.Stdout, a.cmd.Stderr = a.said, a.said
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) { // of one that ran before
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the agent: %w", err)
	}
	go func() { a.ended <- a.cmd.Wait() }()
	late := time.After(agentPatience)
	for {
		if _, err := os.Stat(socket); err == nil {
			return a, nil
		}
		select {
		case err := <-a.ended:
			return nil, fmt.Errorf("the agent ended: %w\n%s", err, tail(a.said.String(), 2000))
		case <-late:
			return nil, errors.Join(fmt.Errorf("the agent has no socket after %v", agentPatience), a.stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

const agentPatience = 30 * time.Second

// stop has it end as a service manager would.
func (a *agent) stop() error {
	if err := a.cmd.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("stopping the agent: %w", err)
	}
	select {
	case <-a.ended: // how it ends is its own affair: it has measured nothing
		return nil
	case <-time.After(agentPatience):
		return errors.Join(errors.New("the agent doesn't end when asked"), a.cmd.Process.Kill())
	}
}
