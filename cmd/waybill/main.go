// Waybill backs up machines whose first backup is too big for their network: it seeds
// a vault with disks that travel, goes on with incrementals over the wire, and restores.
//
// `waybill help` teaches its use, `waybill demo` shows all of it. The commands are one
// file each, whose names are theirs; app.go has what they share.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"golang.org/x/term"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/keys"
)

func main() {
	spareMemory()
	os.Exit(run(keys.FullCost))
}

// spareMemory keeps the heap near what is alive: most of it is large buffers, which cost the
// collector nothing, and servers have better uses for memory. GOGC and GOMEMLIMIT overrule it.
func spareMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(256 << 20) // soft: beyond it memory is collected more eagerly
	}
}

// run is the program. Tests run it with a cost that lets them make many vaults.
func run(cost keys.Cost) int {
	ctx, stop := cli.Interruptible(context.Background())
	defer stop()
	a := &app{cost: cost, secrets: place.Secrets{Getenv: os.Getenv}, out: &cli.Output{Stdout: os.Stdout, Stderr: os.Stderr, Terminal: term.IsTerminal(int(os.Stderr.Fd()))}}
	a.secrets.Own, a.secrets.Line.Waiting = a.ownAccess, place.Tell(a.out)
	return cli.Run(ctx, newRoot(a), a.out, rules, os.Args[1:])
}
