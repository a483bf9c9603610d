package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"waybill/internal/azurite"
)

var azureToolNames = []string{"waybill", "waybill-ingest", "restic", "rclone", "kopia"}

// An azureTool is a program and how it is used with Azure Blob Storage.
type azureTool struct {
	tool
	env   func(c *cloud, p *place) []string
	setup func(c *cloud, p *place) [][]string // not measured
	steps []azureStep                         // in this order
}

type azureStep struct {
	row  string
	args func(c *cloud, p *place) []string
}

// azureTools are all that bench azure can drive.
func azureTools(waybill string) []*azureTool {
	return []*azureTool{azureWaybill(waybill), azureIngest(waybill), azureRestic(), azureRclone(), azureKopia()}
}

func azureEnv(c *cloud, p *place) []string {
	return append(waybillEnv(p), "AZURE_STORAGE_KEY="+azurite.Key)
}

// azureWaybill backs up straight into a container, and restores.
func azureWaybill(bin string) *azureTool {
	backup := func(_ *cloud, p *place) []string { return []string{bin, "backup", "--quiet", p.source} }
	return &azureTool{
		tool: tool{name: "waybill", needs: []string{bin}, version: []string{bin, "--version"}}, env: azureEnv,
		setup: func(c *cloud, p *place) [][]string {
			return waybillSetup(bin)(&place{repo: c.server.Address("backup"), own: p.own})
		},
		steps: []azureStep{
			{rowFirst, backup}, {rowUnchanged, backup}, {rowChanged, backup},
			{rowRestore, func(_ *cloud, p *place) []string {
				return []string{bin, "restore", "--quiet", "latest", "--to", p.out}
			}},
		},
	}
}

// azureIngest uploads a disk, whose packs it verifies on the way. The container has what the vault of the disk's machine has.
func azureIngest(bin string) *azureTool {
	return &azureTool{
		tool: tool{name: "waybill-ingest", needs: []string{bin, "rclone", "unshare"}, version: []string{bin, "--version"}},
		env:  func(c *cloud, p *place) []string { return append(azureEnv(c, p), rcloneEnv(c)...) },
		setup: func(c *cloud, p *place) [][]string {
			return [][]string{c.inHosts("rclone", "copy", c.path("vault"), ":azureblob:vault")}
		},
		steps: []azureStep{{rowUpload, func(c *cloud, p *place) []string {
			return []string{bin, "ingest", "--quiet", "--vault", c.server.Address("vault"), p.disk}
		}}},
	}
}

// azureRestic is restic with its azure back end, whose address has to be a name.
func azureRestic() *azureTool {
	run := func(args ...string) func(*cloud, *place) []string {
		return func(c *cloud, p *place) []string {
			all := append([]string{"restic", "--quiet", "-o", "azure.access-tier=Hot"}, args...) // Azurite refuses the empty one that it says else
			for i, a := range all {
				switch a {
				case "SOURCE":
					all[i] = p.source
				case "OUT":
					all[i] = p.out
				}
			}
			return c.inHosts(all...)
		}
	}
	return &azureTool{
		tool: tool{name: "restic", needs: []string{"restic", "unshare"}, version: []string{"restic", "version"}, probe: newRestic},
		env: func(c *cloud, p *place) []string {
			return []string{"RESTIC_PASSWORD=" + passphrase, "RESTIC_REPOSITORY=azure:restic:/", "RESTIC_CACHE_DIR=" + filepath.Join(p.own, "cache"),
				"AZURE_ACCOUNT_NAME=" + azurite.Account, "AZURE_ACCOUNT_KEY=" + azurite.Key, "AZURE_ENDPOINT_SUFFIX=" + suffix + ":" + c.port()}
		},
		setup: func(c *cloud, p *place) [][]string { return [][]string{run("init", "--repository-version", "2")(c, p)} },
		steps: []azureStep{
			{rowFirst, run("backup", "SOURCE")}, {rowUnchanged, run("backup", "SOURCE")}, {rowChanged, run("backup", "SOURCE")},
			{rowRestore, run("restore", "latest", "--target", "OUT")},
		},
	}
}

// newRestic succeeds where restic can be told of another service than Microsoft's, by AZURE_ENDPOINT_SUFFIX, and a mount namespace can be had.
var newRestic = shell("restic options | grep -q azure.access-tier && unshare --mount true")

// asRoot succeeds where a mount namespace can be had.
var asRoot = []string{"unshare", "--mount", "true"}

// azureRclone copies the same bytes that ingest uploads.
func azureRclone() *azureTool {
	return &azureTool{
		tool:  tool{name: "rclone", needs: []string{"rclone", "unshare"}, version: []string{"rclone", "version"}, probe: asRoot},
		env:   func(c *cloud, _ *place) []string { return rcloneEnv(c) },
		setup: func(*cloud, *place) [][]string { return nil },
		steps: []azureStep{{rowUpload, func(c *cloud, p *place) []string {
			return c.inHosts("rclone", "copy", p.disk, ":azureblob:copy")
		}}},
	}
}

func rcloneEnv(c *cloud) []string {
	return []string{"RCLONE_CONFIG=" + os.DevNull, "RCLONE_AZUREBLOB_ACCOUNT=" + azurite.Account, "RCLONE_AZUREBLOB_KEY=" + azurite.Key,
		"RCLONE_AZUREBLOB_ENDPOINT=blob." + suffix + ":" + c.port()}
}

// azureKopia is kopia where it is on PATH.
func azureKopia() *azureTool {
	create := func(c *cloud, p *place) []string {
		return c.inHosts("kopia", "snapshot", "create", "--no-progress", p.source)
	}
	files := kopia()
	return &azureTool{
		tool: tool{name: "kopia", needs: []string{"kopia", "unshare"}, version: files.version, probe: asRoot},
		env:  func(c *cloud, p *place) []string { return append(files.env(p), rcloneEnv(c)...) },
		setup: func(c *cloud, p *place) [][]string {
			return [][]string{
				c.inHosts("rclone", "mkdir", ":azureblob:kopia"),
				c.inHosts("kopia", "repository", "create", "azure", "--container", "kopia", "--storage-account", azurite.Account,
					"--storage-key", azurite.Key, "--storage-domain", "blob."+suffix+":"+c.port()),
				{"kopia", "policy", "set", "--global", "--compression", "zstd-fastest"},
			}
		},
		steps: []azureStep{
			{rowFirst, create}, {rowUnchanged, create}, {rowChanged, create},
			{rowRestore, func(c *cloud, p *place) []string {
				return c.inHosts("kopia", "snapshot", "restore", "--no-progress", "--snapshot-time=latest", p.source, p.out)
			}},
		},
	}
}

// available tells whether the program is here, and can be used so.
func (t *azureTool) available(ctx context.Context) error {
	if err := t.tool.available(ctx); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return err
		}
		return fmt.Errorf("it is too old to be told where Azurite is, or no mount namespace can be had, which takes root: %w", err)
	}
	return nil
}
