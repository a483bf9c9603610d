package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"waybill/incremental/journal/fanotify"
	"waybill/internal/cli"
)

const leastLog = 1 << 20 // bytes of a log; a smaller one can hardly hold what happens between two backups

type agentFlags struct {
	logSize string
	limited bool
}

func newAgent(a *app) *cobra.Command {
	var f agentFlags
	cmd := &cobra.Command{
		Use:   "agent [PATH...]",
		Short: "keep the change journal of ext4, xfs and other file systems, while it runs",
		Long: `Keeps the change journal of file systems of Linux that have none of their own, ext4 and xfs above all. Linux tells of changes to them only
while somebody listens (fanotify): the agent listens, and keeps a log. Backups find it by themselves, and are optimised when it has run
since the one before.

It watches all local file systems, or those that the paths are on and those mounted below, now or later; each as a whole, so also what
other users, containers and bind mounts do there. tmpfs and btrfs are watched only when one of their own paths is given: btrfs has
generations, which are better. It needs root (CAP_SYS_ADMIN, and CAP_DAC_READ_SEARCH to tell names), reads no file, and sends
nothing anywhere. Its log is in agent/ of the state directory. It and the backups belong into the machine's own name spaces, not into a
container: who has a file open is read from /proc.

Set it up as a service, so that it runs from boot on:

  cp deploy/waybill-agent.service /etc/systemd/system/
  systemctl enable --now waybill-agent

The first backup after its start is the one that its journal begins at; the second is optimised. Its log is void, and the next backup of
that volume unoptimised, once, when nobody can know what changed meanwhile:

  after a start of the machine    what was changed before the agent ran, nobody knows
  after a pause of the agent      but not by "systemctl restart", an update or a crash: systemd holds what it listens by
  when the volume was unmounted
  when the log wrapped            it holds as much as --log-size says
  when the queue overflowed       only with --limit-queue`,
		Example: `  waybill agent                                all local file systems
  waybill agent /home /srv
  waybill agent --log-size 512MiB              more changes until the log wraps
  systemctl enable --now waybill-agent         as a service`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.agent(cmd.Context(), args, &f) },
	}
	cmd.Flags().StringVar(&f.logSize, "log-size", "64MiB", "`SIZE` of the log of each file system; what is beyond it is dropped, oldest first")
	cmd.Flags().BoolVar(&f.limited, "limit-queue", false, "leave the kernel's queue limited: when too much happens at once, that costs a scan, and no memory")
	return cmd
}

func (a *app) agent(ctx context.Context, paths []string, f *agentFlags) error {
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	o := fanotify.Options{StateDir: dir, Limited: f.limited, Systemd: fanotify.FromSystemd(os.Getenv), Log: a.out.Say}
	if o.MaxLog, err = cli.ParseBytes(f.logSize); err != nil {
		return cli.Errorf(cli.Usage, "--log-size: %w", err)
	}
	if o.MaxLog < leastLog {
		return cli.Errorf(cli.Usage, "--log-size %s: it would wrap all the time", f.logSize).Hinted("1MiB is the least, 64MiB the default")
	}
	if o.Mounts, err = absolute(paths); err != nil {
		return err
	}
	if len(o.Mounts) == 0 {
		o.Mounts = []string{string(filepath.Separator)}
	}
	if err = fanotify.Run(ctx, o); errors.Is(err, context.Canceled) {
		return nil // to be stopped is how it ends
	}
	return err
}
