package main

import (
	"errors"
	"io/fs"
	"slices"

	"waybill/cmd/internal/ingestcmd"
	"waybill/hwtest"
	"waybill/incremental"
	"waybill/incremental/journal/fanotify"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/keys"
	"waybill/internal/machine"
	"waybill/internal/pack"
	"waybill/internal/restore"
	"waybill/manifest"
	"waybill/seed"
	"waybill/seed/disk"
	"waybill/seed/disk/databox"
)

// rules tie the errors of the engines to exit codes, and to what a person can do about them.
// The first that applies decides.
var rules = slices.Concat([]cli.Rule{
	{Is: keys.ErrWrongKey, Code: cli.WrongKey, Hint: "the recovery key on paper opens the vault too: --recovery-key-file FILE"},
	{Is: pack.ErrKey, Code: cli.WrongKey, Hint: "file contents open only with the vault's passphrase or recovery key, and only in their own vault"},
	{Is: machine.ErrNotRegistered, Code: cli.NoVault, Hint: "register it with `waybill register CREDENTIALS`, or say with --state where its state is"},
	{Is: machine.ErrRegistered, Code: cli.Failed, Hint: "one state directory is one machine; say with --state where another one shall live"},
	{Is: machine.ErrBusy, Code: cli.Busy, Hint: "wait until it has ended, then try again"},
	{Is: fanotify.ErrRunning, Code: cli.Busy, Hint: "one is enough: stop it to start it with other paths"},
	{Is: machine.ErrOtherVault, Code: cli.NoVault, Hint: "the vault was replaced, or these credentials are for another one; its operator knows"},
	{Is: seed.ErrSeeded, Code: cli.Failed, Hint: "`waybill backup` goes on from it, over the network"},
	{Is: seed.ErrNextDisk, Code: cli.NextDisk, Hint: "mount the next disk, then `waybill seed --resume --to DISK`; what is full need not be connected"},
	{Is: seed.ErrNoData, Code: cli.Usage, Hint: "give it more disks with --to, or a smaller --parity-disks"},
	{Is: seed.ErrNothing, Code: cli.Failed, Hint: "`waybill seed --to DISK PATH...` begins one"},
	{Is: databox.ErrRefused, Code: cli.Usage, Hint: "on a Data Box a seed goes below BlockBlob/CONTAINER; give the device's root, and choose the container with --container"},
	{Is: hwtest.ErrSystem, Code: cli.Usage, Hint: "--quick tests a little of it; a disk that travels is mounted somewhere of its own"},
	{Is: hwtest.ErrSerial, Code: cli.Usage, Hint: "it is printed on the medium, and `lsblk -do NAME,SIZE,SERIAL` shows it; a device that has none is called by its name and bytes, as in loop0-8388608"},
	{Is: hwtest.ErrInUse, Code: cli.Failed, Hint: "unmount it, with all its partitions; what is mounted is tested by the directory it is mounted at"},
	{As: unfit, Code: cli.Unfit, Hint: "take another medium: `waybill hwtest DISK` tells more about this one"},
	{Is: disk.ErrForeign, Code: cli.Failed, Hint: "an interrupted seed goes on with its own disks, and with empty ones"},
	{Is: disk.ErrMedium, Code: cli.Damaged, Hint: "do not ship it: take another disk"},
	{Is: incremental.ErrForked, Code: cli.ChainConflict, Hint: "if this machine's state came out of an old copy, remove it and run `waybill register --recover UUID CREDENTIALS`"},
	{Is: restore.ErrConflict, Code: cli.Conflict, Hint: "restore into an empty directory, or say what to do with what is there: --conflict copy, overwrite or skip"},
	{Is: restore.ErrFull, Code: cli.DiskFull, Hint: "make room, then run it again: what is restored is kept"},
	{Is: restore.ErrBusy, Code: cli.Busy, Hint: "wait until it has ended, then try again"},
	{Is: restore.ErrDamagedParts, Code: cli.Damaged, Hint: "all else is restored; another copy may have the rest: --from DISK"},
	{Is: restore.ErrNotAll, Code: cli.Failed, Hint: "all else is restored; mend what stands in the way and run it again"},
	{Is: domain.ErrNoPoint, Code: cli.Failed, Hint: "`waybill points` lists what there is; `waybill help points` tells how one is named"},
	{As: missingPack, Code: cli.Incomplete, Hint: "if it is on a disk that has not been ingested yet, read from that disk too: --from DISK"},
	{Is: pack.ErrDamaged, Code: cli.Damaged, Hint: "read from another copy with --from; `waybill verify` tells what else is damaged"},
}, ingestcmd.Rules)

// unfit knows the error of a medium that failed its test.
func unfit(err error) bool {
	var e *hwtest.UnfitError
	return errors.As(err, &e)
}

// missingPack knows an error that says that a pack isn't there.
func missingPack(err error) bool {
	var p *fs.PathError
	if !errors.As(err, &p) || !errors.Is(p, fs.ErrNotExist) {
		return false
	}
	_, _, ok := manifest.ParsePackName(p.Path)
	return ok
}
