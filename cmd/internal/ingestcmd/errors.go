package ingestcmd

import (
	"errors"
	"io/fs"

	"waybill/cmd/internal/place"
	"waybill/ingest"
	"waybill/ingest/carrier"
	"waybill/ingest/vault/azure"
	"waybill/internal/cli"
	"waybill/internal/durable"
	"waybill/manifest"
	"waybill/seed/disk"
)

// Rules tie the errors of the vault's side to exit codes and hints. Where several
// things are wrong at once, the first rule that applies decides.
var Rules = []cli.Rule{
	{Is: durable.ErrFull, Code: cli.DiskFull, Hint: "make room, then run it again: what is done is kept"},
	{Is: azure.ErrNoSecret, Code: cli.Usage, Hint: "give it with --secret-file FILE; `help environment` tells where else it may come from"},
	{Is: azure.ErrLogin, Code: cli.Failed, Hint: "give a secret with --secret-file FILE, or `az login`; `help environment` tells where else it may come from"},
	{Is: azure.ErrNoContainer, Code: cli.NoVault, Hint: "is the address right? A container that was deleted can be had back for as long as its account keeps it (soft delete); `waybill vault create` makes that of a new vault"},
	{Is: azure.ErrOutOfReach, Code: cli.Offline, Hint: "what is done is kept: run the same again once the line is back; commands that have --patience can wait longer"},
	{As: place.InArchive, Code: cli.Incomplete, Hint: "`waybill restore` and `waybill verify --data` bring packs back from the archive; `verify --list-only` does without reading them"},
	{As: cannotRehydrate, Code: cli.Failed, Hint: "to bring packs back from the archive takes a secret that may write in the vault, which a machine's may not: give one with --secret-file"},
	{As: denied, Code: cli.Failed, Hint: "`help environment` tells where the secret of an address comes from; one that has expired or lacks permissions is replaced by another"},
	{Is: ingest.ErrForeign, Code: cli.NoVault, Hint: "`waybill manifest show DISK` tells which vault it is for"},
	{Is: ingest.ErrUnregistered, Code: cli.BadSignature, Hint: "the machine must be registered in this vault; if it is, the disk is not from it"},
	{Is: manifest.ErrSignature, Code: cli.BadSignature, Hint: "it was not written by this machine, or changed since; get it from another copy"},
	{Is: manifest.ErrChain, Code: cli.ChainConflict, Hint: "two machines have written as one; `waybill manifest show` tells which commits there are"},
	{As: as[*ingest.GoneError], Code: cli.Incomplete, Hint: "connect it again and run the same again: what is done is kept"},
	{As: mendable, Code: cli.Damaged, Hint: "nothing is lost: ingest rebuilds it, from the same disks together"},
	{As: both(as[*ingest.DamagedError], notHere), Code: cli.Damaged, Hint: "give it all disks of the set that there are at once: with their parity they make up for each other; the machine sends the rest again"},
	{As: as[*ingest.DamagedError], Code: cli.Damaged, Hint: "everything else is good; other disks of the set, the parity disk above all, may make up for it when they are given, too; else the machine must send it again"},
	{Is: disk.ErrLabel, Code: cli.Damaged, Hint: "`waybill-ingest label DISK`, or `waybill seed label DISK`, makes it anew from what is on the disk"},
	{Is: disk.ErrNoDisk, Code: cli.Failed, Hint: "is it mounted? A lost label.json is made anew by `waybill-ingest label DISK` or `waybill seed label DISK`, as long as waybill.json is there"},
	{Is: disk.ErrSums, Code: cli.Damaged, Hint: "packs are checked by their names all the same, and ingest doesn't need it; on its machine `waybill seed seal DISK` writes it anew"},
	{Is: manifest.ErrFormat, Code: cli.Damaged, Hint: "get it from another copy; `waybill verify` tells what else is damaged"},
	{As: notHere, Code: cli.Incomplete, Hint: "give it the other disks of the set, best all that there are at once: with their parity they make up for each other"},
	{As: as[*ingest.IncompleteError], Code: cli.Incomplete, Hint: "ingest the other disks of the set; everything that is there is good"},
	{Is: carrier.ErrLog, Code: cli.Failed, Hint: "a Data Box log is XML; is it complete? `help reconcile` tells which logs are known"},
	{Is: ingest.ErrEmpty, Code: cli.NoVault, Hint: "is it the right disk, and mounted? A disk has a label.json and a waybill.json at its top"},
	{As: noTree, Code: cli.NoVault, Hint: "is it the right directory, and mounted? A disk or vault has a waybill.json at its top; a lost one can be copied from another disk of the same vault"},
}

// denied knows the error of a vault in the cloud that refuses the secret.
func denied(err error) bool {
	var e *azure.RefusedError
	return errors.As(err, &e) && errors.Is(e, fs.ErrPermission)
}

// cannotRehydrate knows the error of a secret that may read what is in the archive, but not bring it back.
func cannotRehydrate(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Op == "bring back" && denied(p)
}

// noTree knows the error of a directory that has no waybill.json.
func noTree(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Path == manifest.VaultName && errors.Is(p, fs.ErrNotExist)
}

// mendable knows the error of a tree that has nothing but damage that can be made good.
func mendable(err error) bool {
	var d *ingest.DamagedError
	var i *ingest.IncompleteError
	return errors.As(err, &d) && d.Mendable() && !errors.As(err, &i) && !errors.Is(err, manifest.ErrFormat)
}

// notHere knows the error of a set of which some disks have not been given.
func notHere(err error) bool {
	var i *ingest.IncompleteError
	return errors.As(err, &i) && len(i.NotHere) > 0
}

// both knows an error that two rules apply to.
func both(a, b func(error) bool) func(error) bool {
	return func(err error) bool { return a(err) && b(err) }
}

func as[T error](err error) bool {
	var e T
	return errors.As(err, &e)
}

// Lines are the types of JSON lines of these commands.
var Lines = []cli.LineType{
	{Type: "ingest", Says: "what was done for one machine, from ingest", Example: IngestLine{}},
	{Type: "verify", Says: "what was found in a disk or vault, from verify", Example: VerifyLine{}},
	{Type: "set", Says: "what was found of disks together, from verify", Example: SetLine{}},
	{Type: "reconcile", Says: "what a carrier's logs say of the packs that were sent, from ingest reconcile", Example: ReconcileLine{}},
	{Type: "label", Says: "a label that was rebuilt, from label", Example: disk.Label{}},
	{Type: "custody", Says: "an entry of a disk's custody log, from custody", Example: CustodyLine{}},
}
