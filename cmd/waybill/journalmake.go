package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"waybill/incremental/journal"
	"waybill/incremental/journal/usn"
	"waybill/internal/cli"
)

func newJournalCreate(a *app) *cobra.Command {
	return a.journalMaker("create VOLUME", "make the change journal of an NTFS or ReFS volume",
		`Makes the change journal of an NTFS or ReFS volume, for volumes that have none: ReFS volumes, and those of data on some
servers. It takes administrator's rights, on Windows. The first backup after that is unoptimised, for the journal knows nothing of what was before it.`,
		`  waybill journal create D: --size 512MiB`, usn.Create)
}

func newJournalResize(a *app) *cobra.Command {
	return a.journalMaker("resize VOLUME", "enlarge the change journal of an NTFS or ReFS volume",
		`Enlarges the change journal of an NTFS or ReFS volume. It goes on being the same journal: the next backup is optimised if it would have
been. It takes administrator's rights, on Windows.`,
		`  waybill journal status                      tells how large it should be
  waybill journal resize C: --size 512MiB`, usn.Resize)
}

// journalMaker is a command that gives a volume's journal a size.
func (a *app) journalMaker(use, short, long, example string, do func(volume string, size, delta int64) error) *cobra.Command {
	var size string
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := cli.ParseBytes(size)
			if err != nil {
				return cli.Errorf(cli.Usage, "--size: %w", err)
			}
			var gap *journal.Gap
			if err := do(args[0], n, 0); errors.As(err, &gap) {
				return cli.Errorf(cli.Failed, "%w", err).Hinted("%s", cmp.Or(gap.Hint, fmt.Sprintf("in Windows itself, this does it too: fsutil usn createjournal m=%d a=%d %s", n, n/8, args[0])))
			} else if err != nil {
				return err
			}
			a.out.Say("the change journal of %s holds %s from now on", args[0], cli.Bytes(n))
			return nil
		},
	}
	cmd.Flags().StringVar(&size, "size", "512MiB", "`SIZE` of what it holds")
	return cmd
}
