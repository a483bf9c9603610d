package ingestcmd

import (
	"context"
	"os"

	"golang.org/x/term"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
)

// Main is the program waybill-ingest. It returns its exit code.
func Main(args []string) int {
	ctx, stop := cli.Interruptible(context.Background())
	defer stop()
	out := &cli.Output{Stdout: os.Stdout, Stderr: os.Stderr, Terminal: term.IsTerminal(int(os.Stderr.Fd()))}
	secrets := &place.Secrets{Getenv: os.Getenv}
	secrets.Line.Waiting = place.Tell(out)
	root := Ingest(out, secrets, "waybill-ingest")
	secrets.Flags(root.PersistentFlags())
	root.Version = cli.Version()
	root.AddCommand(Verify(out, secrets), Custody(out, secrets, "waybill-ingest"), Label(out, "waybill-ingest"), cli.ExitCodesTopic(), cli.JSONTopic(Lines), environmentTopic())
	return cli.Run(ctx, root, out, Rules, args)
}
