package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/keys"
	"waybill/internal/machine"
	"waybill/internal/pack/cut"
	"waybill/manifest"
)

type registerFlags struct {
	name    string
	address string
	recover string
	renew   bool
	secret  secret
}

func newRegister(a *app) *cobra.Command {
	var f registerFlags
	cmd := &cobra.Command{
		Use:   "register CREDENTIALS",
		Short: "make this machine a protected machine of a vault",
		Long: `Makes this machine a protected machine of the vault whose credentials file is given. The machine gets
an id and keys of its own; they are kept in its state directory and, locked with the vault's recovery key, in the
vault. With them it can back up and list its backups, but not read file contents back: that takes the
vault's passphrase.

Where the credentials file lets somebody into the vault, that becomes the machine's own, and its state a secret even more than before: remove the file then. Before
that ends, the machine finds a later one in the vault by itself ("waybill vault renew"), or takes it from a file, with --renew: a credentials file, or one that was
made for this machine. Where the vault is now is taken from it, too.

When the machine's hardware is lost, --recover lets new hardware continue as the same machine. It asks for the
vault's passphrase. The old hardware must never back up again.`,
		Example: `  waybill register waybill-credentials.json
  waybill register --name db1 --state /var/lib/waybill-db1 waybill-credentials.json
  waybill register --renew db1.age
  waybill register --recover 0f8c2d3e-4b5a-4697-8877-665544332211 waybill-credentials.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.renew {
				return a.renewOwn(cmd.Context(), args[0], &f)
			}
			return a.register(cmd.Context(), args[0], &f)
		},
	}
	cmd.Flags().StringVar(&f.name, "name", "", "what people call the machine (default: its host name)")
	cmd.Flags().StringVar(&f.address, "vault", "", "where the vault is from here: its `DIR` as it is mounted, or its address (default: as the credentials say)")
	cmd.Flags().StringVar(&f.recover, "recover", "", "continue as the machine with this `UUID`")
	cmd.Flags().BoolVar(&f.renew, "renew", false, "this machine is registered: take what lets it into its vault from the file")
	cmd.MarkFlagsMutuallyExclusive("renew", "recover")
	cmd.MarkFlagsMutuallyExclusive("renew", "name")
	f.secret.flags(cmd.Flags())
	return cmd
}

// registered is the answer of register.
type registered struct {
	Machine  manifest.ID `json:"machine"`
	Name     string      `json:"name"`
	Vault    manifest.ID `json:"vault"`
	Address  string      `json:"address"`
	State    string      `json:"state"`
	Sequence int         `json:"sequence"`
	Access   *time.Time  `json:"access_expires,omitempty"` // when what lets it into the vault ends
}

func (a *app) register(ctx context.Context, credentials string, f *registerFlags) error {
	c, err := readCredentials(credentials)
	if err != nil {
		return err
	}
	if f.address != "" {
		if c.Address, err = place.Clean(f.address); err != nil {
			return err
		}
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	v, err := place.OpenVault(ctx, c.Address, withAccess(a.secrets, c))
	if err != nil {
		return err
	}
	defer v.Close()
	var s *machine.State
	if f.recover != "" {
		s, err = recoverMachine(ctx, dir, v, c, f)
	} else {
		s, err = newMachine(ctx, dir, v, c, f)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	return a.tellRegistered(ctx, s, v)
}

// tellRegistered answers who the machine is, and notes in the vault until when it may come in.
func (a *app) tellRegistered(ctx context.Context, s *machine.State, v machine.Store) error {
	if err := s.NoteAccess(ctx, v); err != nil {
		return err
	}
	head, err := s.Head()
	if err != nil {
		return err
	}
	c := s.Credentials
	r := registered{Machine: s.Secrets.Machine, Name: s.Machine.Name, Vault: c.Vault, Address: c.Address, State: s.Dir(), Sequence: head.Sequence}
	if c.Access != nil {
		r.Access = &c.Access.Expires
	}
	a.out.Answer("machine", r, func(w io.Writer) {
		fmt.Fprintf(w, "machine  %s  %s\nvault    %s  %s\nstate    %s\n", r.Machine, manifest.EscapePath([]byte(r.Name)), r.Vault, r.Address, r.State)
		if r.Access != nil {
			fmt.Fprintf(w, "access   until %s\n", r.Access.Local().Format("2006-01-02 15:04"))
		}
	})
	a.out.Say("%s", nextStep(head.Sequence))
	return nil
}

func nextStep(sequence int) string {
	if sequence > 0 {
		return "`waybill points` lists what can be restored, `waybill backup` goes on."
	}
	return "`waybill seed --to DISK PATH...` makes the first full backup on a disk, `waybill backup PATH...` over the network."
}

func newMachine(ctx context.Context, dir string, v machine.Store, c *keys.Credentials, f *registerFlags) (*machine.State, error) {
	name := f.name
	if name == "" {
		var err error
		if name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("looking for the machine's name: %w", err)
		}
	}
	cutter, err := cut.New([32]byte{}, cut.Params{}) // only for its defaults
	if err != nil {
		return nil, err
	}
	p := cutter.Params()
	return machine.Register(ctx, dir, v, c, machine.New{Name: name, Now: time.Now(),
		Cutter: manifest.Cutter{Algorithm: cut.Name, Min: p.Min, Mean: p.Mean, Max: p.Max}})
}

func recoverMachine(ctx context.Context, dir string, v machine.Store, c *keys.Credentials, f *registerFlags) (*machine.State, error) {
	id, err := manifest.ParseID(f.recover)
	if err != nil {
		return nil, cli.Errorf(cli.Usage, "--recover %s: %w", f.recover, err)
	}
	key, err := f.secret.recovery(ctx, func() ([]byte, error) {
		return manifest.ReadObject(ctx, v, manifest.RecoveryName, maxSecret)
	}, c.Vault)
	if err != nil {
		return nil, fmt.Errorf("vault %s: %w", c.Address, err)
	}
	s, err := machine.Recover(ctx, dir, v, c, id, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Errorf(cli.NoVault, "the vault has no machine %s", id)
	}
	return s, err
}
