package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"waybill/internal/cli"
	"waybill/internal/keys"
	"waybill/manifest"
)

// A secret is where the passphrase or the recovery key comes from.
type secret struct {
	passphraseFile string
	recoveryFile   string
}

func (s *secret) passphraseFlag(f *pflag.FlagSet) {
	f.StringVar(&s.passphraseFile, "passphrase-file", "", "read the passphrase from `FILE`, - for standard input")
}

func (s *secret) flags(f *pflag.FlagSet) {
	s.passphraseFlag(f)
	f.StringVar(&s.recoveryFile, "recovery-key-file", "", "read the recovery key from `FILE` and ask for no passphrase")
}

// recovery gets the recovery key of a vault. Its keys/recovery.json is only read when it takes the passphrase: the key
// itself opens everything without that file.
func (s *secret) recovery(ctx context.Context, wrapped func() ([]byte, error), vault manifest.ID) (*age.X25519Identity, error) {
	key, err := s.recoveryKey()
	if err != nil || key != nil {
		return key, err
	}
	b, err := wrapped()
	if err != nil {
		return nil, err
	}
	p, err := s.passphrase(ctx)
	if err != nil {
		return nil, err
	}
	return keys.Unwrap(b, p, vault)
}

// recoveryKey reads the recovery key where it is given; nil where it isn't. Flags win over variables.
func (s *secret) recoveryKey() (*age.X25519Identity, error) {
	text, file := "", s.recoveryFile
	if file == "" && s.passphraseFile == "" {
		text, file = os.Getenv("WAYBILL_RECOVERY_KEY"), os.Getenv("WAYBILL_RECOVERY_KEY_FILE")
	}
	if text == "" && file == "" {
		return nil, nil
	}
	if text == "" {
		b, err := readSecret(file)
		if err != nil {
			return nil, fmt.Errorf("reading the recovery key: %w", err)
		}
		text = string(b)
	}
	key, err := keys.ParseRecoveryKey(text)
	if err != nil {
		return nil, cli.Errorf(cli.WrongKey, "%w", err)
	}
	return key, nil
}

// passphrase gets the passphrase from the first source there is: flag, environment, terminal.
func (s *secret) passphrase(ctx context.Context) ([]byte, error) {
	p, err := s.givenPassphrase(ctx)
	if err != nil || p != nil {
		return p, err
	}
	return prompt("Passphrase of the vault: ")
}

// newPassphrase is passphrase for a new vault: typed, it is asked for twice.
func (s *secret) newPassphrase(ctx context.Context) ([]byte, error) {
	p, err := s.givenPassphrase(ctx)
	if err == nil && p == nil {
		p, err = promptTwice()
	}
	if err != nil {
		return nil, err
	}
	if err := keys.CheckPassphrase(p); err != nil {
		return nil, cli.Errorf(cli.Usage, "%w", err).Hinted("a few words that nobody else would put together serve well")
	}
	return p, nil
}

// givenPassphrase is the passphrase as far as nobody must type it; nil when none is given.
func (s *secret) givenPassphrase(ctx context.Context) (p []byte, err error) {
	switch {
	case s.passphraseFile != "":
		p, err = readSecret(s.passphraseFile)
	case os.Getenv("WAYBILL_PASSPHRASE") != "":
		return []byte(os.Getenv("WAYBILL_PASSPHRASE")), nil
	case os.Getenv("WAYBILL_PASSPHRASE_FILE") != "":
		p, err = readSecret(os.Getenv("WAYBILL_PASSPHRASE_FILE"))
	case os.Getenv("WAYBILL_PASSPHRASE_COMMAND") != "":
		p, err = shell(ctx, os.Getenv("WAYBILL_PASSPHRASE_COMMAND"))
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	p = bytes.TrimSuffix(bytes.TrimSuffix(p, []byte("\n")), []byte("\r"))
	if len(p) == 0 {
		return nil, cli.Errorf(cli.Usage, "the passphrase that was given is empty")
	}
	return p, nil
}

// maxSecret bounds what is read as a passphrase or key.
const maxSecret = 64 << 10

func readSecret(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, maxSecret))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSecret))
}

// shell runs a command line as the user's shell would, and returns what it prints.
func shell(ctx context.Context, line string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	if runtime.GOOS == "windows" {
		cmd = exec.CommandContext(ctx, "cmd", "/c", line)
	}
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	cmd.WaitDelay = time.Second // its children may hold the pipe when it is killed
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("running WAYBILL_PASSPHRASE_COMMAND: %w", err)
	}
	return out, nil
}

func promptTwice() ([]byte, error) {
	p, err := prompt("New passphrase of the vault, at least 16 characters: ")
	if err != nil {
		return nil, err
	}
	if err := keys.CheckPassphrase(p); err != nil {
		return p, nil // told by the caller, before it is typed again
	}
	again, err := prompt("The same again: ")
	if err == nil && !bytes.Equal(p, again) {
		err = cli.Errorf(cli.Usage, "the two passphrases differ").Hinted("run the command again")
	}
	return p, err
}

// prompt asks on the terminal, showing nothing of what is typed.
func prompt(text string) ([]byte, error) {
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return nil, cli.Errorf(cli.Usage, "%w", errNoPassphrase).Hinted("%s", strings.TrimSpace(passphraseSources))
	}
	fmt.Fprint(os.Stderr, text)
	p, err := term.ReadPassword(in)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase from the terminal: %w", err)
	}
	return p, nil
}

var errNoPassphrase = errors.New("the passphrase is needed, and there is no terminal to ask for it")

const passphraseSources = `
give it with --passphrase-file FILE, WAYBILL_PASSPHRASE, WAYBILL_PASSPHRASE_FILE
or WAYBILL_PASSPHRASE_COMMAND`
