package main

import (
	"github.com/spf13/cobra"

	"waybill/cmd/internal/ingestcmd"
)

func newVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify DISK|VAULT",
		Short: "check a disk or a vault, without keys",
		Long: `Checks a disk or a vault: every signature, every link of each machine's chain, every pack against its name. All of it is
read. It takes no key.`,
		Example: `  waybill verify /mnt/disk1
  waybill verify --json /srv/vault`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return ingestcmd.VerifyTree(cmd.Context(), a.out, args[0])
		},
	}
}
