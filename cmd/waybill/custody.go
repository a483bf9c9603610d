package main

import (
	"github.com/spf13/cobra"

	"waybill/cmd/internal/ingestcmd"
)

func newCustody(a *app) *cobra.Command { return ingestcmd.Custody(a.out, &a.secrets, "waybill") }
