package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/manifest"
	"waybill/seed/disk/databox"
)

// A tree is a vault or a disk, to be read.
type tree struct{ place.Store }

// openTree opens a vault or a disk. The caller closes it.
func openTree(ctx context.Context, address string, s place.Secrets) (tree, error) {
	p, err := place.Open(ctx, address, s)
	if err != nil {
		return tree{}, err
	}
	t := tree{p}
	if _, err := vaultOf(ctx, t); err != nil {
		p.Close()
		return tree{}, err
	}
	return t, nil
}

// treesAt is where trees are at a place: on a Data Box the containers that have one, else the place itself.
func treesAt(path string) []string {
	if place.Remote(path) {
		return []string{path}
	}
	places, err := databox.Trees(path)
	if err != nil {
		return []string{path} // opening it will tell what is wrong
	}
	var roots []string
	for _, p := range places {
		if _, err := os.Stat(filepath.Join(p.Root, manifest.VaultName)); err == nil && p.Kind != databox.Plain {
			roots = append(roots, p.Root)
		}
	}
	if len(roots) == 0 {
		return []string{path}
	}
	return roots
}

// vaultOf reads which vault a tree is, or belongs to.
func vaultOf(ctx context.Context, t tree) (*manifest.Vault, error) {
	v, err := manifest.OpenVault(ctx, t)
	if errors.Is(err, fs.ErrNotExist) {
		hint := "is its file system mounted?"
		if place.Remote(t.Path()) {
			hint = "is the address right, with its prefix?"
		}
		return nil, cli.Errorf(cli.NoVault, "%s is neither a vault nor a disk: it has no %s", t.Path(), manifest.VaultName).Hinted("%s", hint)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Path(), err)
	}
	return v, nil
}

// pickMachine tells which machine of the trees is meant: the one that is asked for, else the only one.
func pickMachine(ctx context.Context, trees []tree, asked string) (manifest.ID, error) {
	if asked != "" {
		id, err := manifest.ParseID(asked)
		if err != nil {
			return "", cli.Errorf(cli.Usage, "--machine %s: %w", asked, err)
		}
		return id, nil
	}
	var ids []manifest.ID
	for _, t := range trees {
		found, err := manifest.Machines(ctx, t)
		if err != nil {
			return "", err
		}
		for _, id := range found {
			if len(ids) == 0 || ids[0] != id {
				ids = append(ids, id)
			}
		}
	}
	switch len(ids) {
	case 0:
		return "", cli.Errorf(cli.NoVault, "no machine is registered in %s", trees[0].Path())
	case 1:
		return ids[0], nil
	}
	return "", cli.Errorf(cli.Usage, "%s has backups of %s", trees[0].Path(), cli.Counted(int64(len(ids)), "machine")).
		Hinted("say which one with --machine UUID:%s", machineList(ctx, trees, ids))
}

func machineList(ctx context.Context, trees []tree, ids []manifest.ID) (list string) {
	for _, id := range ids {
		for _, t := range trees {
			if m, err := manifest.OpenMachine(ctx, t, id); err == nil {
				list += fmt.Sprintf("\n%s  %s", id, manifest.EscapePath([]byte(m.Name)))
				break
			}
		}
	}
	return list
}

// isTree tells whether an argument means a directory rather than a recovery point: it is one, or is
// written in a way no recovery point is.
func isTree(arg string) bool {
	st, err := os.Stat(arg)
	return err == nil && st.IsDir() || arg != "latest" && strings.Trim(arg, "0123456789abcdefABCDEF-:TZ+. ") != ""
}
