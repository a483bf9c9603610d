package ingestcmd

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"waybill/internal/cli"
	"waybill/seed/disk"
)

// Label returns the command that rebuilds labels, below the program or command of that name.
func Label(out *cli.Output, above string) *cobra.Command {
	return &cobra.Command{
		Use:   "label DISK...",
		Short: "rebuild a disk's lost label",
		Long: `Writes the label of a disk whose label.json is damaged or lost, from its manifests and packs, or from its parity. Which disk of the set it is,
these tell. It takes no keys, and the disk should be verified after.`,
		Example: fmt.Sprintf("  %s label /mnt/disk2", above),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, path := range args {
				l, err := disk.Relabel(cmd.Context(), path, time.Now())
				if err != nil {
					return err
				}
				out.Answer("label", l, func(w io.Writer) {
					fmt.Fprintf(w, "%s is disk %s, %s, of set %s of machine %s\n", path, number(l.Disk, l.Disks), l.State, l.Set, l.Machine)
				})
			}
			return nil
		},
	}
}
