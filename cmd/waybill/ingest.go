package main

import (
	"github.com/spf13/cobra"

	"waybill/cmd/internal/ingestcmd"
)

func newIngest(a *app) *cobra.Command { return ingestcmd.Ingest(a.out, &a.secrets, "ingest") }
