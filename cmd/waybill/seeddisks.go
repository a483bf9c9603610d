package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/term"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/manifest"
	"waybill/seed"
	"waybill/seed/disk"
	"waybill/seed/disk/databox"
)

// diskRoot is where the tree of a disk goes: the directory itself, or one below a container of a Data Box.
func diskRoot(name, container string, vault manifest.ID) (string, error) {
	if place.Remote(name) {
		return name, nil
	}
	if strings.Contains(name, "://") {
		_, err := place.Clean(name) // it tells what is wrong
		return "", err
	}
	p, err := databox.Resolve(name, cmp.Or(container, databox.ContainerFor(vault)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", cli.Errorf(cli.Failed, "%w", err).Hinted("is it mounted? A disk is a directory that is there")
	}
	if err != nil {
		return "", err
	}
	if container != "" && p.Kind == databox.Plain {
		return "", cli.Errorf(cli.Usage, "--container %s: %s is no Data Box", container, name).
			Hinted("a Data Box Disk has a directory BlockBlob at its root; the share of a Data Box is called ACCOUNT_BlockBlob")
	}
	return p.Root, p.Make()
}

// begunAt is where the tree of a disk is that a seed of the vault has begun; on a Data Box, in whichever container.
func begunAt(name string, vault manifest.ID) (string, error) {
	if place.Remote(name) {
		return name, nil
	}
	places, err := databox.Trees(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", cli.Errorf(cli.Failed, "%w", err).Hinted("is it mounted?")
	}
	if err != nil {
		return "", err
	}
	for _, p := range places {
		d, err := disk.Open(p.Root)
		if err != nil {
			continue
		}
		mine := d.Label().Vault == vault
		d.Close()
		if mine {
			return p.Root, nil
		}
	}
	return name, nil // opening it will tell what is wrong
}

// openVaultIfThere opens the vault, which a seed can do without.
func (w *writing) openVaultIfThere(ctx context.Context, out *cli.Output) error {
	var none *cli.Error
	err := w.openVault(ctx)
	if !place.OutOfReach(err) && !(errors.As(err, &none) && none.Code == cli.NoVault) {
		return err
	}
	out.Say("the vault is out of reach; the first backup will tell it of this seed")
	if w.vault == nil {
		return nil
	}
	err = w.vault.Close() // what is at its place isn't it, or can't be asked
	w.vault = nil
	return err
}

// tellVault brings the vault, if it is in reach, what a seed has committed, and the custody logs of its disks. When it is out of reach by now, that
// can wait.
func (w *writing) tellVault(ctx context.Context, a *app, set manifest.ID, paths []string) error {
	if w.vault == nil {
		return nil
	}
	err := errors.Join(w.publish(ctx), w.copyCustody(ctx, a, set, paths))
	if place.OutOfReach(err) {
		a.out.Warn("%v; the first backup will tell it of this seed", err)
		return nil
	}
	return err
}

// copyCustody brings the vault the custody logs of the disks, which may be lost on the way.
func (w *writing) copyCustody(ctx context.Context, a *app, set manifest.ID, paths []string) error {
	return w.eachLog(a, set, paths, func(d *disk.Disk, n int) error {
		_, err := manifest.CopyCustody(ctx, w.vault, d, w.state.Secrets.Machine, set, n, w.state.Machine.SigningKey, w.state.Credentials.ReceiptKey)
		return err
	})
}

// fetchCustody brings disks that have been at the vault what it has noted since, so that what is noted now follows on it.
func (w *writing) fetchCustody(ctx context.Context, a *app, set manifest.ID, paths []string) error {
	return w.eachLog(a, set, paths, func(d *disk.Disk, n int) error {
		_, err := manifest.CopyCustody(ctx, d, w.vault, w.state.Secrets.Machine, set, n, w.state.Machine.SigningKey, w.state.Credentials.ReceiptKey)
		return err
	})
}

// eachLog calls do with each disk of the set that can be opened, and its number.
func (w *writing) eachLog(a *app, set manifest.ID, paths []string, do func(*disk.Disk, int) error) error {
	var errs []error
	for _, path := range paths {
		d, err := a.openDisk(path)
		if err != nil {
			continue // it failed, or nothing is on it
		}
		if l := d.Label(); l.Set == set {
			errs = append(errs, do(d, l.Disk))
		}
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// canAsk tells whether somebody sits at the terminal.
func (a *app) canAsk() bool {
	return a.out.Terminal && !a.out.JSON && !a.out.Quiet && term.IsTerminal(int(os.Stdin.Fd()))
}

// askForDisk waits for the directories of further disks.
func (a *app) askForDisk(ctx context.Context, why error, o *seed.Options, f *seedFlags) ([]string, error) {
	a.out.Say("%v.\nNo disk is left that takes more. Mount the next, and give its directory; several with spaces between them. What is full may be disconnected.\n"+
		"An empty line ends the seed for now: what is done is kept, and `waybill seed --resume --to DISK` goes on.", why)
	for in := bufio.NewReader(os.Stdin); ; {
		fmt.Fprint(a.out.Stderr, "next disk: ")
		text, err := readLine(ctx, in)
		if err != nil {
			return nil, err
		}
		paths, err := resolveDisks(strings.Fields(text), f.container, o)
		if err == nil {
			err = a.testDisks(ctx, &seed.Options{Disks: paths, Save: o.Save}, f)
		}
		if err == nil || ctx.Err() != nil {
			return paths, err
		}
		a.out.Warn("%v", err)
	}
}

// readLine reads a line; an empty one at the end of input.
func readLine(ctx context.Context, in *bufio.Reader) (string, error) {
	line := make(chan string, 1)
	go func() { // it ends with the line, or with the process
		text, _ := in.ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// resolveDisks makes sure that the directories that were typed are there.
func resolveDisks(names []string, container string, o *seed.Options) (paths []string, err error) {
	for _, name := range names {
		root, err := diskRoot(name, container, o.Domain.Machine.Vault)
		if err != nil {
			return nil, err
		}
		abs, err := place.Clean(root)
		if err != nil {
			return nil, err
		}
		paths = append(paths, abs)
	}
	return paths, nil
}
