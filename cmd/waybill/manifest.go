package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"waybill/internal/cli"
	"waybill/manifest"
)

func newManifest(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "manifest",
		Short: "show and verify the signed lists of packs",
		Long: `Every commit of a machine has a manifest: a signed list, in the clear, of the packs it added. It takes no key to
read one. What they say of packs, ` + "`waybill verify`" + ` compares with the packs.`,
	}
	var packs bool
	show := &cobra.Command{
		Use:   "show FILE|DISK|VAULT",
		Short: "show one manifest, or all of a disk or vault",
		Example: `  waybill manifest show /mnt/disk1
  waybill manifest show --packs /srv/vault/machines/0f8c2d3e-4b5a-4697-8877-665544332211/manifests/00000001.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachManifest(cmd.Context(), args[0], "", func(l *manifestLine, m *manifest.Manifest) { a.showManifest(l, m, packs) })
		},
	}
	show.Flags().BoolVar(&packs, "packs", false, "list its packs, too")
	var key string
	verify := &cobra.Command{
		Use:   "verify FILE|DISK|VAULT",
		Short: "verify signatures and the chain",
		Long: `Verifies that every manifest is signed by its machine, and that they follow one on the other. For a single file, its
signature must lie beside it; the machine's key is taken from machine.json, one directory up, or from --key.

A disk names the key itself; whether it is the right one, only the vault's copy or --key can tell.`,
		Example: `  waybill manifest verify /mnt/disk1
  waybill manifest verify --key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3 00000001.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verifyManifests(cmd.Context(), args[0], manifest.PublicKey(key))
		},
	}
	verify.Flags().StringVar(&key, "key", "", "the machine's public `KEY`, as its operator knows it")
	cmd.AddCommand(show, verify)
	return cmd
}

// manifestLine is a manifest as JSON, without its list of packs.
type manifestLine struct {
	ID       manifest.Digest `json:"id"`
	Vault    manifest.ID     `json:"vault"`
	Machine  manifest.ID     `json:"machine"`
	Set      manifest.ID     `json:"set,omitempty"`
	Sequence int             `json:"sequence"`
	Previous manifest.Digest `json:"previous"`
	Time     time.Time       `json:"time"`
	Tool     string          `json:"tool"`
	Disks    int             `json:"disks,omitempty"`
	Packs    int             `json:"packs"`
	Bytes    int64           `json:"bytes"`
	List     []manifest.Pack `json:"list,omitempty"`
	Verified bool            `json:"verified"`
}

func newManifestLine(m *manifest.Manifest, id manifest.Digest) *manifestLine {
	l := &manifestLine{ID: id, Vault: m.Vault, Machine: m.Machine, Set: m.Set, Sequence: m.Sequence, Previous: m.Previous,
		Time: m.Time, Tool: m.Tool, Disks: m.Disks, Packs: len(m.Packs)}
	for _, p := range m.Packs {
		l.Bytes += p.Size
	}
	return l
}

func (a *app) showManifest(l *manifestLine, m *manifest.Manifest, packs bool) {
	if packs {
		l.List = m.Packs
	}
	a.out.Answer("manifest", l, func(w io.Writer) {
		signed := "signature verified"
		if !l.Verified {
			signed = "signature not verified"
		}
		fmt.Fprintf(w, "manifest %d  %s  %s\n", l.Sequence, l.ID, signed)
		fmt.Fprintf(w, "  machine %s, vault %s\n  %s by %s\n", l.Machine, l.Vault, l.Time.Format(time.RFC3339), manifest.EscapePath([]byte(l.Tool)))
		if l.Set != "" {
			fmt.Fprintf(w, "  disk set %s, %s\n", l.Set, cli.Counted(int64(l.Disks), "disk"))
		}
		fmt.Fprintf(w, "  %s, %s\n", cli.Counted(int64(l.Packs), "pack"), cli.Bytes(l.Bytes))
		for _, p := range l.List {
			fmt.Fprintf(w, "    %s  %-9s  %12s  disk %d\n", p.Name, p.Class, cli.Count(p.Size), p.Disk)
		}
	})
}

// eachManifest visits the manifests that an argument means: those of a tree, verified, or a single file, verified if it can be.
func (a *app) eachManifest(ctx context.Context, arg string, key manifest.PublicKey, visit func(*manifestLine, *manifest.Manifest)) error {
	if st, err := os.Stat(arg); err != nil || !st.IsDir() {
		return oneManifest(arg, key, visit)
	}
	t, err := openTree(ctx, arg, a.secrets)
	if err != nil {
		return err
	}
	defer t.Close()
	ids, err := manifest.Machines(ctx, t)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, eachOfMachine(ctx, t, id, key, visit))
	}
	return errors.Join(errs...)
}

func eachOfMachine(ctx context.Context, t tree, id manifest.ID, key manifest.PublicKey, visit func(*manifestLine, *manifest.Manifest)) error {
	m, err := manifest.OpenMachine(ctx, t, id)
	if err != nil {
		return err
	}
	if key != "" && m.SigningKey != key {
		return fmt.Errorf("machine %s: %w: its key is %s", id, manifest.ErrSignature, m.SigningKey)
	}
	chain, err := manifest.ReadChain(ctx, t, m)
	for _, link := range chain.Links {
		l := newManifestLine(link.Manifest, link.Digest)
		l.Verified = true
		visit(l, link.Manifest)
	}
	return err
}

// oneManifest reads a single file, and verifies it when its signature and a key are at hand.
func oneManifest(name string, key manifest.PublicKey, visit func(*manifestLine, *manifest.Manifest)) error {
	b, err := readBounded(name, manifest.MaxManifest)
	if err != nil {
		return err
	}
	m, err := manifest.Parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l := newManifestLine(m, manifest.Sum(b))
	dir := filepath.Dir(name)
	if key == "" {
		if doc, err := readBounded(filepath.Join(dir, "..", "machine.json"), maxSecret); err == nil {
			if machine, err := manifest.ParseMachine(doc); err == nil && machine.Machine == m.Machine {
				key = machine.SigningKey
			}
		}
	}
	sig, err := readBounded(filepath.Join(dir, filepath.Base(manifest.SignatureName(m.Machine, m.Sequence, l.ID))), maxSecret)
	if err == nil && key != "" {
		if err := manifest.Verify(key, b, sig); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		l.Verified = true
	}
	visit(l, m)
	return nil
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Errorf(cli.Failed, "there is no %s", name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: %w: longer than %d bytes", name, manifest.ErrFormat, limit)
	}
	return b, err
}

// verifiedLine is the answer of manifest verify.
type verifiedLine struct {
	Manifests int   `json:"manifests"`
	Packs     int   `json:"packs"`
	Bytes     int64 `json:"bytes"`
}

func (a *app) verifyManifests(ctx context.Context, arg string, key manifest.PublicKey) error {
	var sum verifiedLine
	unverified := ""
	err := a.eachManifest(ctx, arg, key, func(l *manifestLine, _ *manifest.Manifest) {
		sum.Manifests++
		sum.Packs += l.Packs
		sum.Bytes += l.Bytes
		if !l.Verified {
			unverified = arg
		}
	})
	if err != nil {
		return err
	}
	if unverified != "" {
		return cli.Errorf(cli.BadSignature, "%s: %w: its signature or its machine's key is not at hand", arg, manifest.ErrSignature).
			Hinted("the signature must lie beside it; give the key with --key")
	}
	a.out.Answer("verified", sum, func(w io.Writer) {
		fmt.Fprintf(w, "%s, signed and in order: %s, %s\n", cli.Counted(int64(sum.Manifests), "manifest"), cli.Counted(int64(sum.Packs), "pack"), cli.Bytes(sum.Bytes))
	})
	return nil
}
