package place

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/pflag"

	"waybill/ingest/vault/azure"
	"waybill/internal/cli"
)

// Secrets say where secrets for remote places come from. The first that is given counts: File, Command, Own, then the environment's
// WAYBILL_AZURE_SECRET_FILE, WAYBILL_AZURE_SECRET_COMMAND, AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_KEY, and then
// what Azure itself gives this host or user: see azure.Credential.
type Secrets struct {
	File    string // --secret-file
	Command string // --secret-command, a line for the shell
	// Own returns the shared access signature that a machine was given for the place at an address, and for no other; empty for none. nil for none at all.
	Own    func(address string) string
	Getenv func(name string) string // nil for none

	Line Line // how the places are reached for which the secrets are
}

// Given tells whether the user says on the command line where the secret is: that goes before an own one.
func (s Secrets) Given() bool { return s.File != "" || s.Command != "" }

// Flags adds the flags that say where a secret is.
func (s *Secrets) Flags(f *pflag.FlagSet) {
	f.StringVar(&s.File, "secret-file", "", "read the secret of an azblob:// address from this `FILE`")
	f.StringVar(&s.Command, "secret-command", "", "run this `COMMAND` for the secret of an azblob:// address")
}

// known reads an address, and finds the secret for it.
func (s Secrets) known(ctx context.Context, address string) (azure.Address, azure.Credential, error) {
	a, err := parse(address)
	if err != nil {
		return a, azure.Credential{}, err
	}
	c, err := s.credential(ctx, a)
	return a, c, err
}

// credential finds the secret for an address.
func (s Secrets) credential(ctx context.Context, a azure.Address) (azure.Credential, error) {
	text, from, err := s.find(ctx, a)
	if err != nil || text == "" {
		return azure.Credential{}, err
	}
	c, err := azure.ParseSecret(text, a)
	if err != nil {
		return c, cli.Errorf(cli.Usage, "the secret of %s: %w", from, err).Hinted("it is a SAS, a connection string or an account's key, one a line; `help environment` tells more")
	}
	return c, nil
}

// find returns the secret's text, and in words where it is from; empty when there is none.
func (s Secrets) find(ctx context.Context, a azure.Address) (text, from string, err error) {
	env := func(string) string { return "" }
	if s.Getenv != nil {
		env = s.Getenv
	}
	switch {
	case s.File != "":
		return readSecret(s.File)
	case s.Command != "":
		return runSecret(ctx, s.Command)
	}
	if s.Own != nil {
		if sas := s.Own(a.String()); sas != "" {
			return sas, "this machine", nil
		}
	}
	switch {
	case env("WAYBILL_AZURE_SECRET_FILE") != "":
		return readSecret(env("WAYBILL_AZURE_SECRET_FILE"))
	case env("WAYBILL_AZURE_SECRET_COMMAND") != "":
		return runSecret(ctx, env("WAYBILL_AZURE_SECRET_COMMAND"))
	}
	if account := env("AZURE_STORAGE_ACCOUNT"); account != "" && account != a.Account {
		return "", "", nil // it is somewhere else that the environment has a secret for
	}
	for _, name := range []string{"AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_KEY"} {
		if v := env(name); v != "" {
			return v, name, nil
		}
	}
	return "", "", nil
}

func readSecret(file string) (text, from string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", "", fmt.Errorf("reading a secret: %w", err)
	}
	return string(b), file, nil
}

// runSecret runs a command and takes what it prints. What it says beside goes to the user.
func runSecret(ctx context.Context, command string) (text, from string, err error) {
	shell := []string{"sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/c"}
	}
	cmd := exec.CommandContext(ctx, shell[0], shell[1], command)
	cmd.Stderr, cmd.Stdin = os.Stderr, os.Stdin
	b, err := cmd.Output()
	if err != nil {
		return "", "", fmt.Errorf("the command for a secret: %w", err)
	}
	return string(b), "the command", nil
}
