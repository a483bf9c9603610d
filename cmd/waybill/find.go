package main

import (
	"bytes"
	"context"
	"io"
	"path"

	"github.com/spf13/cobra"

	"waybill/internal/catalog"
	"waybill/internal/cli"
)

func newFind(a *app) *cobra.Command {
	var f readFlags
	cmd := &cobra.Command{
		Use:   "find POINT PATTERN [PATH]",
		Short: "find names in a recovery point",
		Long: `Lists everything in a recovery point whose name matches the pattern, below PATH or everywhere. In a pattern, * stands
for any characters, ? for one, [a-z] for one of several. A pattern with a slash is matched
against the whole path.`,
		Example: `  waybill find latest '*.docx'
  waybill find latest 'report-202[56]*' /home/ada
  waybill find latest '/home/*/.ssh/id_*'`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.find(cmd.Context(), args[0], args[1], append(args, "/")[2], &f)
		},
	}
	f.flags(cmd.Flags())
	return cmd
}

func (a *app) find(ctx context.Context, point, pattern, below string, f *readFlags) error {
	if _, err := path.Match(pattern, ""); err != nil {
		return cli.Errorf(cli.Usage, "%q is no pattern: %w", pattern, err)
	}
	r, err := a.read(ctx, f, false)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := r.point(ctx, point)
	if err != nil {
		return err
	}
	top, full, err := lookUp(ctx, r, p, below)
	if err != nil {
		return err
	}
	whole := bytes.ContainsRune([]byte(pattern), '/')
	found := 0
	err = r.walk(ctx, p, top, full, func(at []byte, e catalog.Entry) (bool, error) {
		name := string(e.Name)
		if whole {
			name = string(at)
		}
		if ok, _ := path.Match(pattern, name); ok {
			found++
			l := newEntryLine(p, at, &e)
			a.out.Answer("entry", l, func(w io.Writer) { writeEntry(w, &e, &l) })
		}
		return true, nil
	})
	if err == nil && found == 0 {
		a.out.Say("nothing in recovery point %.12s matches %s", p.Digest, pattern)
	}
	return err
}
