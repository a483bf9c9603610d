package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Topic returns a help topic: `waybill help NAME` shows text.
func Topic(name, short, text string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Long: strings.TrimSpace(text)}
}

// ExitCodesTopic is the help topic on exit codes.
func ExitCodesTopic() *cobra.Command {
	return Topic("exit-codes", "what the exit codes mean", "Exit codes, the same for every command:\n\n"+exitTable())
}

// ManPages writes the manual of root, a page for each command and topic, into dir. It makes dir if needed.
// Equal commands and dates give equal pages.
func ManPages(root *cobra.Command, date time.Time, version, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root.InitDefaultHelpCmd()
	root.DisableAutoGenTag = true
	header := doc.GenManHeader{Title: strings.ToUpper(root.Name()), Section: "1", Date: &date,
		Source: root.Name() + " " + version, Manual: "Waybill"}
	return eachPage(root, func(cmd *cobra.Command) error {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		return writePage(filepath.Join(dir, name+".1"), func(w io.Writer) error {
			h := header
			h.Title = strings.ToUpper(name)
			long := cmd.Long
			defer func() { cmd.Long = long }()
			cmd.Long = asMarkdown(long)
			if err := doc.GenMan(cmd, &h, w); err != nil || cmd.HasParent() {
				return err
			}
			_, err := io.WriteString(w, ".SH EXIT STATUS\n.nf\n"+exitTable()+".fi\n")
			return err
		})
	})
}

// asMarkdown is a command's text as GenMan takes it: its tables and lists keep their lines.
func asMarkdown(text string) string {
	blocks := strings.Split(text, "\n\n")
	for i, b := range blocks {
		if strings.Contains("\n"+b, "\n  ") || strings.Contains(b, "   ") {
			blocks[i] = "    " + strings.ReplaceAll(b, "\n", "\n    ")
		}
	}
	return strings.Join(blocks, "\n\n")
}

// eachPage visits cmd and everything below it that help lists.
func eachPage(cmd *cobra.Command, visit func(*cobra.Command) error) error {
	if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
		return nil
	}
	if err := visit(cmd); err != nil {
		return fmt.Errorf("writing the manual page of %s: %w", cmd.CommandPath(), err)
	}
	for _, sub := range cmd.Commands() {
		if err := eachPage(sub, visit); err != nil {
			return err
		}
	}
	return nil
}

func writePage(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	return write(f)
}
