package main

import (
	"time"

	"github.com/spf13/cobra"

	"waybill/internal/cli"
)

func newDocs(*app) *cobra.Command {
	cmd := &cobra.Command{Use: "docs", Short: "write the documentation of this program", Hidden: true}
	var date string
	man := &cobra.Command{
		Use:     "man DIR",
		Short:   "write the manual pages into a directory",
		Example: "  waybill docs man /usr/local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			when, err := time.Parse(time.DateOnly, date)
			if err != nil {
				return cli.Errorf(cli.Usage, "--date %s: %w", date, err).Hinted("write it as 2026-07-01")
			}
			return cli.ManPages(cmd.Root(), when, cli.Version(), args[0])
		},
	}
	man.Flags().StringVar(&date, "date", time.Now().UTC().Format(time.DateOnly), "the date the pages bear")
	cmd.AddCommand(man)
	return cmd
}
