package main

import (
	"slices"

	"github.com/spf13/cobra"

	"waybill/cmd/internal/ingestcmd"
	"waybill/hwtest"
	"waybill/internal/cli"
	"waybill/seed"
)

func environmentTopic() *cobra.Command {
	return cli.Topic("environment", "environment variables, and where files are", `
WAYBILL_STATE               directory of this machine's state; --state goes before it. Otherwise
                              /var/lib/waybill                      for root
                              $XDG_STATE_HOME/waybill, or
                              ~/.local/state/waybill                for other users
                              %ProgramData%\Waybill                 on Windows
WAYBILL_PASSPHRASE          the vault's passphrase
WAYBILL_PASSPHRASE_FILE     a file that holds it; - for standard input
WAYBILL_PASSPHRASE_COMMAND  a command line that prints it
WAYBILL_RECOVERY_KEY        the vault's recovery key, which makes the passphrase needless
WAYBILL_RECOVERY_KEY_FILE   a file that holds it
WAYBILL_VAULT               the vault that ingest imports into; --vault goes before it

The first of --passphrase-file and the three variables of the passphrase counts; without any, the terminal is asked. One newline at the
passphrase's end is no part of it.`)
}

func jsonTopic() *cobra.Command { return cli.JSONTopic(slices.Concat(lineTypes, ingestcmd.Lines)) }

func excludesTopic() *cobra.Command {
	return cli.Topic("excludes", "what can be left out of a backup, and how it is said", `
--exclude PATTERN and --exclude-from FILE, which has a pattern a line, leave things out. A pattern has in its names

  *  any characters    ?  one    [a-z]  one of these    [^a-z]  none of these
  \xNN  the byte NN    \*  \?  \[  \]  \!  \\  the character itself

and says by its slashes where it looks:

  *.tmp            a name at any depth
  /var/cache       that path alone, and if it is a directory, all below it
  build/*.o        the last names of a path, at any depth
  /home/**/Trash   ** stands for any number of directories, also none
  /srv/scratch/**  all that is in a directory, but not the directory
  cache/           with a slash at its end: directories only
  !/var/cache/x    not left out after all; the last pattern that matches decides

What lies in a directory that is left out can't be brought back. Upper and lower case differ. The machine's state, its
vault and the disks of a seed are always left out.`)
}

// lineTypes are the types of JSON lines on standard output.
var lineTypes = []cli.LineType{
	{Type: "vault", Says: "answer of vault create", Example: created{}},
	{Type: "machine", Says: "answer of register", Example: registered{}},
	{Type: "plan", Says: "answer of plan: what the source is, how long each way takes, and what to do", Example: planLine{}},
	{Type: "seed", Says: "answer of seed: the recovery point it made, and its disks", Example: seedLine{}},
	{Type: "seed-status", Says: "answer of seed status", Example: seed.Status{}},
	{Type: "reissue", Says: "answer of seed --want and --reissue", Example: againLine{}},
	{Type: "backup", Says: "answer of backup: the recovery point it made", Example: savedLine{}},
	{Type: "heal", Says: "what a backup stored again of lost packs, after its own line", Example: healLine{}},
	{Type: "restore", Says: "answer of restore", Example: restoreLine{}},
	{Type: "check", Says: "what was found by opening chunks, from verify --data and verify POINT", Example: checkLine{}},
	{Type: "point", Says: "a recovery point, from points", Example: pointLine{}},
	{Type: "point-detail", Says: "all about a recovery point, from points show", Example: pointDetail{}},
	{Type: "entry", Says: "a file, directory or other item, from ls and find", Example: entryLine{}},
	{Type: "change", Says: "a difference, from diff", Example: changeLine{}},
	{Type: "manifest", Says: "a manifest, from manifest show", Example: manifestLine{}},
	{Type: "verified", Says: "answer of manifest verify", Example: verifiedLine{}},
	{Type: "cache", Says: "answer of cache rebuild", Example: rebuilt{}},
	{Type: "step", Says: "a step of demo, before its command's own lines", Example: stepLine{}},
	{Type: "compared", Says: "the end of demo", Example: comparedLine{}},
	{Type: "hwtest", Says: "answer of hwtest", Example: hwtest.Report{}},
	{Type: "version", Says: "answer of version", Example: versionLine{}},
}
