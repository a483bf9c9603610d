package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"waybill/internal/cli"
)

func newCache(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "care for what this machine keeps to be fast"}
	cmd.AddCommand(&cobra.Command{
		Use:   "rebuild",
		Short: "make the chunk index anew from the vault",
		Long: `Makes this machine's chunk index anew from the tables of its packs. It is never needed for a correct result: an index that
is missing, old or damaged costs time or space, nothing else.`,
		Example: `  waybill cache rebuild`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.rebuild(cmd.Context()) },
	})
	return cmd
}

// rebuilt is the answer of cache rebuild.
type rebuilt struct {
	Commits int `json:"commits"`
	Packs   int `json:"packs"`
	Missing int `json:"missing_packs"`
}

func (a *app) rebuild(ctx context.Context) error {
	w, err := a.openOwnForWriting(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	missing, err := w.Rebuild(ctx)
	if err != nil {
		return fmt.Errorf("rebuilding the index: %w", err)
	}
	r := rebuilt{Commits: len(w.Chain.Links), Missing: len(missing)}
	lost := w.Chain.Lost()
	for _, l := range w.Chain.Links {
		for _, p := range l.Manifest.Packs {
			if !lost[p.Name] {
				r.Packs++
			}
		}
	}
	a.out.Answer("cache", r, func(out io.Writer) {
		fmt.Fprintf(out, "index of %s in %s\n", cli.Counted(int64(r.Packs-r.Missing), "pack"), cli.Counted(int64(r.Commits), "commit"))
	})
	if r.Missing > 0 {
		a.out.Say("%s not there yet: on disks that have not been ingested, or lost", cli.Counted(int64(r.Missing), "pack"))
	}
	return nil
}
