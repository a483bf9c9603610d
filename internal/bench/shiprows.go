package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"waybill/internal/fault"
)

// Rows of the report.
const (
	rowFast      = "seed to 4 that are not slow"
	rowSeedOff   = "seed, no parity"
	rowSeed1     = "seed, 20+1"
	rowSeed2     = "seed, 20+2"
	rowSeedSet   = "seed, 4 disks and 1 of parity"
	rowShipCp    = "cp of a disk"
	rowShipSum   = "sha256sum of a disk"
	rowShipIn    = "ingest of a disk"
	rowShipMend  = "ingest, a pack rebuilt"
	rowShipCheck = "verify of a disk"
	rowLostCp    = "cp of 4 disks"
	rowLostSum   = "sha256sum of 4 disks"
	rowLostIn    = "ingest, one of 4 disks rebuilt"
	rowUntilInt  = "half a seed, until SIGINT"
	rowAfterInt  = "the rest, after SIGINT"
	rowUntilKill = "half a seed, until SIGKILL"
	rowAfterKill = "the rest, after SIGKILL"
)

// rowSlow is a seed to n slow disks.
func rowSlow(n int) string { return fmt.Sprintf("seed to %d slow", n) }

var slowDisks = []int{1, 2, 4}

// turn is one run.
func (v *voyage) turn(ctx context.Context) error {
	if v.wanted(groupDisks) {
		for _, n := range slowDisks {
			if err := v.mounted(ctx, rowSlow(n), n, int64(v.rate)*1e6); err != nil {
				return err
			}
		}
		if err := v.mounted(ctx, rowFast, 4, 0); err != nil {
			return err
		}
	}
	if v.wanted(groupParity) {
		if err := v.one(ctx, rowSeedOff, "off", nil); err != nil {
			return err
		}
	}
	if err := v.one(ctx, rowSeed1, "20+1", v.arrive); err != nil {
		return err
	}
	if v.wanted(groupParity) {
		if err := v.one(ctx, rowSeed2, "20+2", nil); err != nil {
			return err
		}
	}
	if v.wanted(groupParity, groupLost) {
		if err := v.set(ctx); err != nil {
			return err
		}
	}
	if !v.wanted(groupResume) {
		return nil
	}
	return errors.Join(v.resume(ctx, os.Interrupt, rowUntilInt, rowAfterInt), v.resume(ctx, syscall.SIGKILL, rowUntilKill, rowAfterKill))
}

// mounted seeds to n disks that write at the given rate each; 0 for as fast as it goes. This process is their file system, which takes processor time, too.
func (v *voyage) mounted(ctx context.Context, row string, n int, rate int64) (err error) {
	if !fault.Available() {
		fmt.Fprintf(v.log, "left out: %s: no FUSE here\n", row)
		return nil
	}
	dirs, err := v.anew(n)
	if err != nil {
		return err
	}
	defer discard(&err, dirs...)
	var mounts []string
	for _, dir := range dirs {
		mount := dir + ".mnt"
		if err := os.Mkdir(mount, 0o777); err != nil {
			return err
		}
		defer discard(&err, mount)
		d, err := fault.Mount(dir, mount, fault.Faults{WriteRate: rate})
		if err != nil {
			return fmt.Errorf("mounting a disk: %w", err)
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		mounts = append(mounts, mount)
	}
	return v.row(ctx, row, v.seed(mounts, "--parity", "off"), dirs...)
}

// discard removes directories, and adds to the error what comes of it.
func discard(err *error, dirs ...string) {
	for _, dir := range dirs {
		*err = errors.Join(*err, os.RemoveAll(dir))
	}
}

// one seeds to one disk, and goes on with it.
func (v *voyage) one(ctx context.Context, row, parity string, then func(ctx context.Context, disk string) error) (err error) {
	disks, err := v.anew(1)
	if err != nil {
		return err
	}
	defer discard(&err, disks...)
	if err := v.row(ctx, row, v.seed(disks, "--parity", parity), disks...); err != nil || then == nil {
		return err
	}
	return then(ctx, disks[0])
}

// arrive measures what happens to a disk at the vault.
func (v *voyage) arrive(ctx context.Context, disk string) error {
	if v.wanted(groupIngest) {
		if err := v.yardsticks(ctx, rowShipCp, rowShipSum, disk); err != nil {
			return err
		}
		if err := v.ingest(ctx, rowShipIn, disk); err != nil {
			return err
		}
	}
	if v.wanted(groupVerify) {
		if !v.wanted(groupIngest) {
			if err := v.row(ctx, rowShipSum, digest(disk)); err != nil {
				return err
			}
		}
		if err := v.row(ctx, rowShipCheck, []string{v.bin, "verify", "--quiet", disk}); err != nil {
			return err
		}
	}
	if !v.wanted(groupIngest) {
		return nil
	}
	if err := loseOne(disk); err != nil {
		return err
	}
	return v.ingest(ctx, rowShipMend, disk)
}

// yardsticks copies and digests disks.
func (v *voyage) yardsticks(ctx context.Context, cp, sum string, disks ...string) (err error) {
	out := filepath.Join(v.work, "out")
	if err := os.Mkdir(out, 0o777); err != nil {
		return err
	}
	defer discard(&err, out)
	if err := v.row(ctx, cp, append(append([]string{"cp", "-a"}, disks...), out), out); err != nil {
		return err
	}
	return v.row(ctx, sum, shell(`find "$@" -type f -print0 | xargs -0 sha256sum > /dev/null`, disks...))
}

// ingest imports disks into a copy of the vault, which has nothing of them but their commits.
func (v *voyage) ingest(ctx context.Context, row string, disks ...string) (err error) {
	vault := filepath.Join(v.work, "vault.in")
	defer discard(&err, vault)
	if err := os.CopyFS(vault, os.DirFS(v.vault)); err != nil {
		return err
	}
	return v.row(ctx, row, append([]string{v.bin, "ingest", "--quiet", "--vault", vault}, disks...), vault)
}

// loseOne removes a pack of data from a disk: one of the full size.
func loseOne(disk string) error {
	var large string
	var most int64
	err := filepath.WalkDir(disk, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains(path, "/packs/") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > most {
			large, most = path, info.Size()
		}
		return err
	})
	return errors.Join(err, os.Remove(large))
}

// set seeds to four disks and one of parity, and loses one.
func (v *voyage) set(ctx context.Context) (err error) {
	disks, err := v.anew(5)
	if err != nil {
		return err
	}
	defer discard(&err, disks...)
	if err := v.row(ctx, rowSeedSet, v.seed(disks, "--parity-disks", "1"), disks...); err != nil || !v.wanted(groupLost) {
		return err
	}
	if err := v.yardsticks(ctx, rowLostCp, rowLostSum, disks[:4]...); err != nil { // of equal disks the last carries the parity
		return err
	}
	return v.ingest(ctx, rowLostIn, disks[1:]...)
}

// resume stops a seed when half of it is on the disk, and goes on.
func (v *voyage) resume(ctx context.Context, sig os.Signal, until, after string) (err error) {
	disks, err := v.anew(1)
	if err != nil {
		return err
	}
	defer discard(&err, disks...)
	half := v.report.find("shipped", "waybill", rowSeed1).Median.Stored / 2
	if err := v.halfway(ctx, until, v.seed(disks), disks[0], half, sig); err != nil {
		return err
	}
	return v.row(ctx, after, v.seed(disks, "--resume"), disks[0])
}
