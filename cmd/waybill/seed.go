package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"waybill/cmd/internal/ingestcmd"
	"waybill/cmd/internal/place"
	"waybill/incremental/volumes"
	"waybill/internal/cli"
	"waybill/manifest"
	"waybill/seed"
	"waybill/seed/disk"
	"waybill/seed/disk/parity"
)

type seedFlags struct {
	to          []string
	resume      bool
	packSize    string
	parity      string
	parityDisks int
	container   string
	offline     bool
	noTest      bool
	note        string
	want        bool
	reissue     int
	begun       bool // the disks are there: nothing is made on a Data Box
	save        saveFlags
	journal     journalFlags
	line        lineFlags
}

func newSeed(a *app) *cobra.Command {
	var f seedFlags
	cmd := &cobra.Command{
		Use:   "seed --to DISK [--to DISK]... PATH...",
		Short: "make the first full backup, on disks that travel",
		Long: `Makes the first full backup of this machine on one or several disks, which are then shipped to the vault. A DISK is an
empty directory, most often a mounted disk's, or a Data Box, which is recognised: the backup then goes below the container
of --container. It may be an empty container, azblob://ACCOUNT/CONTAINER[/PREFIX], too, such as a Data Box has behind its blob endpoint: say that with
?endpoint=https://ACCOUNT.blob.SERIAL.microsoftdatabox.com. Packs are then 64 MiB at most. Several are written at once, and may differ in size and speed.

What is on them is compressed, encrypted and signed; who finds one can't read it. Each also carries what it
takes, with the vault's passphrase, to restore straight from the disks.

Every disk also carries parity of what is on it: with 20+1, the default, one in twenty packs may be damaged or lost, or sectors anywhere, and
is mended where the disk arrives, without keys. With --parity-disks N the N largest disks carry parity of all
the others: any N disks may be lost on the way, and nothing is.

When a disk fails, the others go on. When all are full, the next is asked for; where nobody can be asked, the seed stops with exit code 26, and
--resume goes on with the next disk, as it does after any interruption. Disks that are full need not be connected
then. At the end every disk that is there is read back; ` + "`waybill seed seal`" + ` does that for the rest. While the disks travel, ` + "`waybill backup`" + ` already
goes on from them.`,
		Example: `  waybill seed --to /mnt/disk1 /home /etc
  waybill seed --to /mnt/disk1 --to /mnt/disk2 --to /mnt/disk3 --parity-disks 1 -x /
  waybill seed --resume --to /mnt/disk4             the others are full, or this machine was restarted
  waybill seed --note "parcel 1Z999" --to /mnt/disk1 /srv
  waybill seed status                               what is done and what is left
  waybill seed seal /mnt/disk2                      a disk that was not there at the end
  waybill seed --reissue 2 --to /mnt/disk5          disk 2 was lost
  waybill seed --want --to /mnt/disk5               what the vault could not read or mend of all disks`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args, cmd.Flags()); err != nil {
				return err
			}
			return a.seed(cmd.Context(), args, &f)
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.to, "to", nil, "write to this `DISK`, an empty directory or container, or one of an interrupted seed; may be given again")
	fl.BoolVar(&f.resume, "resume", false, "go on with an interrupted seed, and take its selection again when no paths are given")
	fl.StringVar(&f.packSize, "pack-size", "", "`SIZE` of data packs (default: 512MiB, less on small disks, more when there would be too many)")
	f.parityFlag(fl)
	fl.IntVar(&f.parityDisks, "parity-disks", 0, "let the `N` largest of the new disks carry parity of the others")
	fl.StringVar(&f.container, "container", "", "`NAME` of the container on a Data Box (default: waybill- and the beginning of the vault's id)")
	fl.BoolVar(&f.offline, "offline", false, "don't tell the vault: ingest will bring it the commits")
	fl.BoolVar(&f.noTest, "no-hwtest", false, "don't try new disks first")
	fl.StringVar(&f.note, "note", "", "`TEXT` for the custody log of the disks, such as a tracking number")
	fl.BoolVar(&f.want, "want", false, "write the vault's want list to the disks: what did not arrive and could not be mended")
	fl.IntVar(&f.reissue, "reissue", 0, "write all that disk `N` of the set carried to the disks, because it is lost")
	cmd.MarkFlagsMutuallyExclusive("want", "reissue", "resume")
	f.save.flags(fl)
	f.journal.flags(fl)
	f.line.sending(fl, time.Minute)
	a.secrets.Line.TierFlag(fl)
	cmd.AddCommand(newSeedStatus(a), newSeedSeal(a), ingestcmd.Label(a.out, "waybill seed"))
	return cmd
}

func (f *seedFlags) parityFlag(fl *pflag.FlagSet) {
	fl.StringVar(&f.parity, "parity", "", "how many packs share how many shards of parity on each disk, as `N+M`, or off (default: 20+1, or as the given disks were begun)")
}

// place is where the tree of a disk is, or goes.
func (f *seedFlags) place(name string, vault manifest.ID) (string, error) {
	if f.begun {
		return begunAt(name, vault)
	}
	return diskRoot(name, f.container, vault)
}

// scheme is the parity within disks: as asked for, else as a disk that was begun has it.
func (f *seedFlags) scheme(a *app) (parity.Scheme, error) {
	text := f.parity
	for _, path := range f.to {
		if d, err := a.openDisk(path); err == nil {
			text = cmp.Or(text, d.Label().Parity)
			d.Close()
		}
	}
	s, err := parity.ParseScheme(cmp.Or(text, "20+1"))
	if err != nil {
		return s, cli.Errorf(cli.Usage, "--parity: %w", err)
	}
	return s, nil
}

// seedLine is the answer of seed.
type seedLine struct {
	*savedLine
	Set     manifest.ID  `json:"set"`
	Resumed bool         `json:"resumed"`
	Disks   []disk.Label `json:"disks"`
	Absent  []int        `json:"absent"`
}

func (a *app) seed(ctx context.Context, paths []string, f *seedFlags) (err error) {
	v, err := a.volumeOptions(&f.journal)
	if err == nil {
		err = a.useLine(&f.line)
	}
	if err != nil {
		return err
	}
	w, err := a.openForSeed(ctx, f)
	if err != nil {
		return err
	}
	defer w.Close()
	defer func() { err = lapsed(w.state, err) }()
	o, err := w.seedOptions(a, paths, f, v)
	if err != nil {
		return err
	}
	if err := w.checkSelection(o.Save, f); err != nil {
		return err
	}
	if err := a.testDisks(ctx, o, f); err != nil {
		return err
	}
	if f.want || f.reissue != 0 {
		return a.seedAgain(ctx, w, o, f)
	}
	return a.runAndTell(ctx, w, o, f)
}

// begun tells whether a seed is in the chain.
func begun(c manifest.Chain) bool {
	for _, l := range c.Links {
		if l.Manifest.Set != "" {
			return true
		}
	}
	return false
}

// runAndTell seeds, records what was committed, tells the vault, and says what came of it.
func (a *app) runAndTell(ctx context.Context, w *writing, o *seed.Options, f *seedFlags) error {
	began := time.Now()
	r, err := a.runSeed(ctx, o, f)
	if r == nil {
		return err
	}
	err = w.record(r.Result, err)
	err = errors.Join(err, w.tellVault(ctx, a, r.Set, o.Disks))
	if err != nil && (ctx.Err() != nil || errors.Is(err, seed.ErrNextDisk) || errors.Is(err, seed.ErrSeeded)) {
		return err
	}
	l := &seedLine{newSavedLine(r.Result, time.Since(began)), r.Set, r.Resumed, r.Disks, append([]int{}, r.Absent...)}
	a.out.Answer("seed", l, l.write)
	a.advise(o.Volumes.Mode, l.Volumes)
	if len(r.Disks) > 0 && err == nil {
		ship := "ship the disks; where they arrive: `waybill ingest --vault VAULT DISK...`"
		if slices.ContainsFunc(f.to, place.Remote) {
			ship = "when all of it is in the cloud: `waybill-ingest --vault VAULT --from azblob://ACCOUNT/CONTAINER`, with the address where it is then"
		}
		a.out.Say("%s", ship)
	}
	return errors.Join(err, a.missed(r.Point), a.problems(r.Point))
}

func (l *seedLine) write(w io.Writer) {
	l.savedLine.write(w)
	writeDisks(w, l.Disks, l.Absent)
}

// writeDisks lists the disks that were sealed, and the numbers of those that weren't.
func writeDisks(w io.Writer, disks []disk.Label, absent []int) {
	for _, d := range disks {
		role := ""
		if d.Role == disk.RoleParity {
			role = ", parity"
		}
		fmt.Fprintf(w, "disk %d of %d  %s%s: %s, %s\n", d.Disk, d.Disks, d.State, role, cli.Counted(int64(d.Packs), "pack"), cli.Bytes(d.Bytes))
	}
	for _, n := range absent {
		fmt.Fprintf(w, "disk %d  not sealed by this run: if it hasn't been yet, connect it and run `waybill seed seal DISK`\n", n)
	}
}

// openForSeed opens this machine's domain for a seed: the vault may be out of reach, and disks that were
// begun are read, too. Places on a Data Box are resolved in f.to.
func (a *app) openForSeed(ctx context.Context, f *seedFlags) (*writing, error) {
	return a.openWriting(func(w *writing) error {
		if f.offline {
			a.out.Detail("the vault is not told of this seed")
		} else if err := w.openVaultIfThere(ctx, a.out); err != nil {
			return err
		}
		for i, name := range f.to {
			root, err := f.place(name, w.state.Secrets.Vault)
			if err == nil && !f.begun && place.Remote(root) {
				err = place.Make(ctx, root, a.secrets)
			}
			if err != nil {
				return err
			}
			f.to[i] = root
			d, err := a.openDisk(root)
			if errors.Is(err, disk.ErrNoDisk) {
				continue
			}
			if err != nil {
				return err
			}
			w.disks = append(w.disks, tree{d.Medium})
		}
		return w.open(ctx, w.disks...)
	})
}

func (w *writing) seedOptions(a *app, paths []string, f *seedFlags, v volumes.Options) (*seed.Options, error) {
	saved, err := roots(v.Images, paths)
	if err != nil {
		return nil, err
	}
	cfg, err := w.config(saved, &f.save)
	if err != nil {
		return nil, err
	}
	if f.packSize != "" {
		if cfg.DataPack, err = cli.ParseBytes(f.packSize); err != nil {
			return nil, cli.Errorf(cli.Usage, "--pack-size: %w", err)
		}
	}
	scheme, err := f.scheme(a)
	if err != nil {
		return nil, err
	}
	for _, name := range f.to {
		if place.Remote(name) {
			continue
		}
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		cfg.Skip = append(cfg.Skip, abs)
	}
	copies, err := w.state.Copies()
	if err != nil {
		return nil, err
	}
	return &seed.Options{Disks: f.to, Medium: a.medium, Domain: w.Domain, Cache: w.own, Ledger: w.state.Ledger(), Copies: copies, Key: w.state.Machine.SigningKey,
		NewSet: func() manifest.ID { return manifest.ID(uuid.NewString()) }, Save: cfg, Volumes: v,
		Parity: scheme, ParityDisks: f.parityDisks, Serial: serialOf, Note: f.note}, nil
}

// runSeed runs the engine and shows how far it is.
func (a *app) runSeed(ctx context.Context, o *seed.Options, f *seedFlags) (r *seed.Report, err error) {
	err = a.showing(ctx, o, f, func() (err error) {
		r, err = seed.Run(ctx, o)
		return required(err)
	})
	return r, err
}

// showing shows how far a run of the options is, tells of disks that fail, and asks for the next.
func (a *app) showing(ctx context.Context, o *seed.Options, f *seedFlags, run func() error) error {
	var sealing atomic.Bool
	selected := o.Save
	if last, err := o.Domain.Last(ctx); err == nil && last != nil {
		selected.SelectAgain(last.Point) // else its end can't be told, and the run will say why
	}
	count := a.count(ctx, selected)
	defer count.stop()
	saved := saving(o.Save.Progress)
	show := func() (stop func()) {
		return a.progress(func() cli.Sample {
			if sealing.Load() {
				return cli.Sample{Phase: "reading back", Bytes: o.SealBytes.Load(), TotalBytes: max(o.SealTotal.Load(), o.SealBytes.Load())}
			}
			return count.total(saved())
		})
	}
	stop := show()
	defer func() { stop() }()
	o.Sealing = func() { sealing.Store(true) }
	o.Failed = func(l disk.Label, _ string, err error) {
		a.out.Warn("%v; the other disks go on without it. What commits have on it stays there: connect it again and run `waybill seed seal DISK` when the seed is done, or give it up with `waybill seed --reissue %d --to DISK`", err, l.Disk)
	}
	if a.canAsk() {
		o.Next = func(ctx context.Context, why error) ([]string, error) {
			stop()
			defer func() { stop = show() }()
			return a.askForDisk(ctx, why, o, f)
		}
	}
	return run()
}
