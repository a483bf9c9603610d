package main

import (
	"bytes"
	"context"
	"io"

	"github.com/spf13/cobra"

	"waybill/internal/catalog"
)

func newLs(a *app) *cobra.Command {
	var f readFlags
	var recursive bool
	cmd := &cobra.Command{
		Use:   "ls POINT [PATH]",
		Short: "list what a recovery point holds",
		Long: `Lists a directory of a recovery point, or one file. Without a path it begins at the top, "/". Paths are absolute, as they
were on the machine. Bytes that are no text are shown, and given, as \xNN; a backslash is \x5c.`,
		Example: `  waybill ls latest
  waybill ls latest /home/ada
  waybill ls -r --json 2026-07-01 /etc`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ls(cmd.Context(), args[0], append(args, "/")[1], recursive, &f)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "list everything below, too")
	f.flags(cmd.Flags())
	return cmd
}

func (a *app) ls(ctx context.Context, point, path string, recursive bool, f *readFlags) error {
	r, err := a.read(ctx, f, false)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := r.point(ctx, point)
	if err != nil {
		return err
	}
	top, full, err := lookUp(ctx, r, p, path)
	if err != nil {
		return err
	}
	show := func(path []byte, e catalog.Entry) (bool, error) {
		l := newEntryLine(p, path, &e)
		a.out.Answer("entry", l, func(w io.Writer) { writeEntry(w, &e, &l) })
		return recursive, nil
	}
	if top.Kind != catalog.Directory {
		_, err := show(full, top)
		return err
	}
	if recursive {
		return r.walk(ctx, p, top, full, show)
	}
	return catalog.Walk(ctx, r, top, bytes.TrimSuffix(full, []byte("/")), show)
}
