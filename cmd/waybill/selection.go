package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/machine"
	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/save"
	"waybill/internal/source"
)

// saveFlags say how a backup is made.
type saveFlags struct {
	excludes      []string
	excludeFrom   string
	oneFileSystem bool
	compression   string
}

func (s *saveFlags) flags(f *pflag.FlagSet) {
	f.StringArrayVarP(&s.excludes, "exclude", "e", nil, "leave out what matches `PATTERN`, as in *.tmp, /var/cache or cache/; may be given again")
	f.StringVar(&s.excludeFrom, "exclude-from", "", "leave out what matches a pattern in `FILE`, one a line; # begins a comment")
	f.BoolVarP(&s.oneFileSystem, "one-file-system", "x", false, "stay on the file systems that the given paths are on")
	f.StringVar(&s.compression, "compression", "auto", "`LEVEL` of compression: auto, fastest, default, better or best")
}

// patterns are all that is to be left out.
func (s *saveFlags) patterns() ([]string, error) {
	if s.excludeFrom == "" {
		return s.excludes, nil
	}
	b, err := os.ReadFile(s.excludeFrom)
	if err != nil {
		return nil, fmt.Errorf("reading what to leave out: %w", err)
	}
	list := slices.Clone(s.excludes)
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	return list, nil
}

// config is the engine's configuration for a run of this machine that saves the roots.
func (w *writing) config(roots []string, f *saveFlags) (cfg save.Config, err error) {
	s := w.state
	cfg.Roots = roots
	if cfg.Level, err = pack.ParseLevel(f.compression); err != nil {
		return cfg, cli.Errorf(cli.Usage, "--compression: %w", err)
	}
	if cfg.Excludes, err = f.patterns(); err != nil {
		return cfg, err
	}
	if _, err := source.NewExcludes(cfg.Excludes); err != nil {
		return cfg, cli.Errorf(cli.Usage, "--exclude: %w", err).Hinted("`waybill help excludes` tells what a pattern may be")
	}
	if cfg.Host, err = os.Hostname(); err != nil {
		return cfg, fmt.Errorf("looking for this machine's name: %w", err)
	}
	cfg.Skip = ownPlaces(s)
	cfg.OneFileSystem = f.oneFileSystem
	cfg.Tool = "waybill " + cli.Version()
	cfg.Progress = &save.Progress{}
	cfg.Writer, err = w.writer()
	return cfg, err
}

// ownPlaces are the directories that are never saved: the machine's state, and its vault where that is one.
func ownPlaces(s *machine.State) []string {
	if place.Remote(s.Credentials.Address) {
		return []string{s.Dir()}
	}
	return []string{s.Dir(), s.Credentials.Address}
}

func (w *writing) writer() (save.Writer, error) {
	s := w.state
	c := s.Machine.Cutter
	if c.Algorithm != cut.Name {
		return save.Writer{}, fmt.Errorf("this machine's files are cut by %q, which this version of the program doesn't know", c.Algorithm)
	}
	cutter, err := cut.New(s.Secrets.CutterKey(), cut.Params{Min: c.Min, Mean: c.Mean, Max: c.Max})
	if err != nil {
		return save.Writer{}, err
	}
	recovery, err := s.Credentials.Recipient()
	if err != nil {
		return save.Writer{}, err
	}
	head, err := s.Head()
	return save.Writer{Vault: s.Secrets.Vault, Machine: s.Secrets.Machine, Signer: s.Secrets.Signer, Recovery: recovery,
		Catalogue: s.Secrets.Catalogue.Recipient(), Dedupe: s.Secrets.DedupeKey(), Cutter: cutter,
		Sequence: head.Sequence, Head: head.Digest}, err
}
