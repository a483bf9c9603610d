package main

import (
	"github.com/spf13/cobra"

	"waybill/internal/cli"
)

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "waybill",
		Short: "back up machines that are too big for their network",
		Long: `Waybill backs up machines whose first backup is too big for their network. The first full backup
travels on disks, compressed and encrypted; every later one goes over the network and holds
only what changed. Files come back from any recovery point, from the vault or straight from the disks.`,
		Example: `  waybill demo                                         see all of it happen, in a temporary place

  waybill vault create /srv/vault                      at the vault: once
  waybill register waybill-credentials.json            on the machine: once
  waybill seed --to /mnt/disk1 /home /etc              on the machine: the first full backup
  waybill ingest --vault /srv/vault /mnt/disk1         at the vault: when the disk has arrived
  waybill backup                                       on the machine: every day
  waybill points                                       what can be restored
  waybill restore latest /home/ada --to /tmp/back      and back`,
		Version: cli.Version(),
	}
	root.PersistentFlags().StringVar(&a.state, "state", "", "directory of this machine's state (default: see \"waybill help environment\")")
	a.secrets.Flags(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: "machine", Title: "On the machine:"},
		&cobra.Group{ID: "vault", Title: "At the vault, without keys:"},
		&cobra.Group{ID: "look", Title: "Looking around:"},
	)
	for _, c := range []struct {
		group string
		make  func(*app) *cobra.Command
	}{
		{"machine", newRegister}, {"machine", newPlan}, {"machine", newHwtest}, {"machine", newSeed}, {"machine", newBackup}, {"machine", newJournal}, {"machine", newAgent}, {"machine", newRestore},
		{"vault", newVault}, {"vault", newIngest}, {"vault", newVerify}, {"vault", newCustody}, {"vault", newManifest},
		{"look", newPoints}, {"look", newLs}, {"look", newFind}, {"look", newDiff},
		{"look", newDemo}, {"", newCache}, {"", newDocs}, {"", newVersion},
	} {
		cmd := c.make(a)
		cmd.GroupID = c.group
		root.AddCommand(cmd)
	}
	root.AddCommand(cli.ExitCodesTopic(), jsonTopic(), environmentTopic(), excludesTopic(), journalsTopic(), throttleTopic())
	return root
}
