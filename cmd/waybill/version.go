package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"waybill/internal/cli"
)

// versionLine is the answer of version.
type versionLine struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "show the program's version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionLine{cli.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH}
			a.out.Answer("version", v, func(w io.Writer) { fmt.Fprintf(w, "waybill %s, %s, %s/%s\n", v.Version, v.Go, v.OS, v.Arch) })
			return nil
		},
	}
}
