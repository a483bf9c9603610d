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
WAYBILL_VAULT               the vault that ingest imports into (--vault goes before it), and that vault credentials, renew and status are about
WAYBILL_THROTTLE            windows of the line, with ; between them, when --throttle isn't given; see "waybill help throttle"

`+ingestcmd.SecretsHelp(`what the machine was given       for its own vault only: by "register", or found in the vault since (see "vault renew")
`)+`

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

func journalsTopic() *cobra.Command {
	return cli.Topic("journals", "change journals: optimised and unoptimised backups, and why one was not", `
A change journal belongs to a file system, and tells which places in it changed since the last backup. A backup that can go by it is
*optimised*: it looks at those places, and costs what changed. Without it the backup is *unoptimised*: it looks at everything, and
compares inode, size and times with the last recovery point. Both make the same recovery point. A journal only says where to look; what is
saved is read from the file system. It has to vouch for all of the time since the last backup, else that volume is
scanned, once, and the reason is told: by the backup, by "waybill points" and "waybill points show", and with --json in "volumes",
whose members are path, mode, journal, reason, advice, cursor, scanned, missed and misses.

KIND      FOR                    WHAT IT NEEDS
btrfs     btrfs                  root. Nothing to set up; it survives everything, and sees every change
fanotify  ext4, xfs and others   root, and "waybill agent" running since the last backup: see "waybill help agent"
usn       NTFS, ReFS             Windows and administrator's rights; or an image or device of the volume, with --image
none      NFS, SMB, FUSE, FAT    these have none that sees what others change: always unoptimised

"waybill journal status" shows for each volume which one it has, whether the next backup can go by it, and what to do if not.

--journal HOW says how they are used:

  auto      where they vouch for what changed; else look at everything, and tell why
  on        the same, and warn of each volume that was scanned though it need not have been
  required  rather fail, with exit code 28, and save nothing; but first backups and tmpfs are scanned
  off       look at everything

--sweep WHEN has everything looked at all the same from time to time, to see whether the journal had missed something: 30 days after the last time,
after so many days (7d), now, or never (off). What was missed is saved and listed, and the exit code is 29: an incident, for
journals are there not to. It tells of a defect, or of a volume that was written past its file system.

What is saved is one moment of each volume, where it can be held still: on btrfs, by a snapshot, which is removed again. --snapshot off reads the live file
system, and so does --journal off, which looks at everything: in a snapshot, new to the system's memory, that takes three times as long. --snapshot on
wants it all the same.

Why a volume is scanned:

`+causeTable()+`
What they don't see:

  btrfs     nothing is known. Subvolumes are volumes of their own
  fanotify  writes through shared mappings until they are unmapped: files that are mapped or open for writing are read every time. Writes
            to the device past the file system, and by other machines to the same device. Files that a container has mapped through overlayfs, and
            those mapped by processes that even root may not look into, until they are unmapped. chattr: of it only the time of change is saved
  usn       repeated writes to a file that stays open: files without a last CLOSE are read every time. Writes by another system, as
            by Linux on a machine with both: ntfs-3g and ntfs3 write no records. Run "waybill backup --sweep now" after that`)
}

// lineTypes are the types of JSON lines on standard output.
var lineTypes = []cli.LineType{
	{Type: "vault", Says: "answer of vault create", Example: created{}},
	{Type: "machine", Says: "answer of register, with --renew, too", Example: registered{}},
	{Type: "credentials", Says: "answer of vault credentials", Example: credentialsLine{}},
	{Type: "renewed", Says: "a machine whose access to the vault was renewed, or lasts, from vault renew", Example: renewedLine{}},
	{Type: "machine-status", Says: "how a machine is doing, from vault status", Example: machineStatus{}},
	{Type: "vault-status", Says: "the end of vault status", Example: vaultStatus{}},
	{Type: "plan", Says: "answer of plan: what the source is, how long each way takes, and what to do", Example: planLine{}},
	{Type: "seed", Says: "answer of seed: the recovery point it made, and its disks", Example: seedLine{}},
	{Type: "seed-status", Says: "answer of seed status", Example: seed.Status{}},
	{Type: "reissue", Says: "answer of seed --want and --reissue", Example: againLine{}},
	{Type: "backup", Says: "answer of backup: the recovery point it made", Example: savedLine{}},
	{Type: "heal", Says: "what a backup stored again of lost packs, after its own line", Example: healLine{}},
	{Type: "journal", Says: "a volume and its change journal, from journal status", Example: journalLine{}},
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
