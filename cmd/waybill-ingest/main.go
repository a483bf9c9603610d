// Waybill-ingest is the vault's side alone: it checks disks that arrived and imports
// them into a vault. It holds no keys, and links no code that could open a pack.
//
// It is `waybill ingest` and `waybill verify` for hosts that should have nothing else.
package main

import (
	"os"

	"waybill/cmd/internal/ingestcmd"
)

func main() { os.Exit(ingestcmd.Main(os.Args[1:])) }
