// Package cli is what the programs share in how they speak: flags, answers,
// progress, errors with hints, exit codes, help topics and man pages.
//
// A program builds its cobra commands around one [Output] and hands the root to
// [Run]:
//
//	out := &cli.Output{Stdout: os.Stdout, Stderr: os.Stderr}
//	os.Exit(cli.Run(ctx, root, out, rules, os.Args[1:]))
//
// Standard output carries the answer, standard error the conversation. With --json
// both carry JSON lines, each with a "schema" and a "type".
//
// The package knows nothing of backups: which error means which exit code is told to
// it as [Rule]s, what a running engine has done so far by a function that returns a [Sample].
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Run executes the command that args name, tells the user about an error, and returns
// the process's exit code. It adds the flags of out to root.
func Run(ctx context.Context, root *cobra.Command, out *Output, rules []Rule, args []string) int {
	out.addFlags(root)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(args)
	root.SetOut(out.Stdout)
	root.SetErr(out.Stderr)
	nameTopics(root)
	began := false
	noteBeginning(root, &began)

	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !began {
		out.JSON = out.JSON || slices.Contains(args, "--json") // the flags may not have been read
		err = usage(err, cmd)
	}
	if flushErr := out.Flush(); err == nil && flushErr != nil {
		err = fmt.Errorf("writing the answer: %w", flushErr)
	}
	if err == nil {
		return int(OK)
	}
	e := Explain(err, rules)
	out.fail(root.Name(), e)
	return int(e.Code)
}

// nameTopics makes an error of asking for the help of what isn't there: cobra calls that success.
func nameTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, help := range root.Commands() {
		if help.Name() != "help" {
			continue
		}
		help.Short, help.Run = "tell about a command or a topic", nil
		help.RunE = func(_ *cobra.Command, args []string) error {
			cmd, _, err := root.Find(args)
			if err != nil || cmd == root && len(args) > 0 {
				return &Error{Err: fmt.Errorf("there is no command or topic %q", strings.Join(args, " ")), Code: Usage,
					Hint: fmt.Sprintf("`%s help` lists what there is", root.Name())}
			}
			cmd.InitDefaultHelpFlag()
			cmd.InitDefaultVersionFlag()
			return cmd.Help()
		}
	}
}

// noteBeginning sets *began once a command of the tree runs: an error before that is
// about how it was called.
func noteBeginning(cmd *cobra.Command, began *bool) {
	if cmd.HasParent() && cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.RunE = onlySubcommands
	} else if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*began = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		noteBeginning(sub, began)
	}
}

// onlySubcommands is what a command does that only groups others: cobra would show its help for any
// mistyped one, and call that success.
func onlySubcommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return usage(fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()), cmd)
}

func usage(err error, cmd *cobra.Command) error {
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	return &Error{Err: err, Code: Usage, Hint: fmt.Sprintf("`%s --help` shows how it is used, with examples", cmd.CommandPath())}
}

// Interruptible returns a context that the first SIGINT or SIGTERM cancels, so that
// the work can save what is done and stop. The second one kills the process.
func Interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
