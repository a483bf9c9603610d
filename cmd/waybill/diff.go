package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/manifest"
)

func newDiff(a *app) *cobra.Command {
	var f readFlags
	cmd := &cobra.Command{
		Use:   "diff POINT POINT",
		Short: "show what changed between two recovery points",
		Long: `Lists what was added (+), removed (-) and changed (M) from the first recovery point to the second. What
is equal is not looked at, so it takes as long as there is difference.`,
		Example: `  waybill diff 3f9a51c0 latest
  waybill diff 2026-07-01 2026-07-02 --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.diff(cmd.Context(), args[0], args[1], &f) },
	}
	f.flags(cmd.Flags())
	return cmd
}

// changeLine is a difference as JSON.
type changeLine struct {
	Path   string   `json:"path"`
	Change string   `json:"change"` // "added", "removed" or "changed"
	Kind   string   `json:"kind"`
	Size   int64    `json:"size"`
	What   []string `json:"what,omitempty"` // of a changed one: what differs
}

func (a *app) diff(ctx context.Context, before, after string, f *readFlags) error {
	r, err := a.read(ctx, f, false)
	if err != nil {
		return err
	}
	defer r.Close()
	old, err := rootOf(ctx, r, before)
	if err != nil {
		return err
	}
	new, err := rootOf(ctx, r, after)
	if err != nil {
		return err
	}
	return catalog.Diff(ctx, r, old, new, nil, func(c catalog.Change) error {
		l := newChangeLine(c)
		a.out.Answer("change", l, func(w io.Writer) {
			fmt.Fprintf(w, "%s  %s\n", map[string]string{"added": "+", "removed": "-", "changed": "M"}[l.Change], l.Path)
		})
		return nil
	})
}

func rootOf(ctx context.Context, r *reading, point string) (catalog.Entry, error) {
	var p *domain.Point
	p, err := r.point(ctx, point)
	if err != nil {
		return catalog.Entry{}, err
	}
	return p.RootEntry()
}

func newChangeLine(c catalog.Change) changeLine {
	l := changeLine{Path: manifest.EscapePath(c.Path), Change: "changed"}
	e := c.New
	switch {
	case c.Old == nil:
		l.Change = "added"
	case c.New == nil:
		l.Change, e = "removed", c.Old
	default:
		l.What = differences(c.Old, c.New)
	}
	l.Kind, l.Size = kinds[e.Kind], e.Size
	return l
}

func differences(a, b *catalog.Entry) (what []string) {
	for _, d := range []struct {
		name string
		same bool
	}{
		{"kind", a.Kind == b.Kind},
		{"content", a.Kind != catalog.File || a.Size == b.Size && a.Node == b.Node && bytes.Equal(a.Content, b.Content)},
		{"target", bytes.Equal(a.Target, b.Target)},
		{"device", a.Major == b.Major && a.Minor == b.Minor},
		{"mode", a.Mode == b.Mode},
		{"owner", a.UID == b.UID && a.GID == b.GID},
		{"mtime", a.Mtime == b.Mtime},
		{"attributes", bytes.Equal(a.Xattrs, b.Xattrs)},
		{"inode", a.Inode == b.Inode},
	} {
		if !d.same {
			what = append(what, d.name)
		}
	}
	return what
}
