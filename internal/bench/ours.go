package main

import "path/filepath"

// waybillOnline is waybill without disks: the first backup goes straight into the vault.
func waybillOnline(bin string) *tool {
	return &tool{
		name: "waybill", needs: []string{bin}, version: []string{bin, "--version"},
		env: waybillEnv, setup: waybillSetup(bin), restored: sourcePath,
		steps: []step{
			{rowFirst, func(p *place) []string { return []string{bin, "backup", "--quiet", p.source} }},
			{rowUnchanged, func(p *place) []string { return []string{bin, "backup", "--quiet", p.source} }},
			{rowDigestRepo, func(p *place) []string { return digest(p.repo) }},
			{rowVerify, func(p *place) []string { return []string{bin, "verify", "--quiet", p.repo} }},
			{rowCheck, func(p *place) []string { return []string{bin, "verify", "--quiet", "--data", p.repo} }},
			{rowRestore, func(p *place) []string { return []string{bin, "restore", "--quiet", "latest", "--to", p.out} }},
		},
	}
}

// waybillSeed is waybill with a disk: seed, then ingest; beside them what copying and reading the disk costs.
func waybillSeed(bin string) *tool {
	return &tool{
		name: "waybill-seed", needs: []string{bin}, version: []string{bin, "--version"},
		env: waybillEnv, setup: waybillSetup(bin), restored: sourcePath,
		steps: []step{
			{rowFirst, func(p *place) []string { return []string{bin, "seed", "--quiet", "--to", p.disk, p.source} }},
			{rowCopy, func(p *place) []string { return []string{"cp", "-a", p.disk + "/.", p.out} }},
			{rowDigest, func(p *place) []string { return digest(p.disk) }},
			{rowIngest, func(p *place) []string { return []string{bin, "ingest", "--quiet", "--vault", p.repo, p.disk} }},
		},
	}
}

func waybillEnv(p *place) []string {
	return []string{"WAYBILL_STATE=" + filepath.Join(p.own, "state"), "WAYBILL_PASSPHRASE=" + passphrase}
}

func waybillSetup(bin string) func(p *place) [][]string {
	return func(p *place) [][]string {
		credentials := filepath.Join(p.own, "credentials.json")
		return [][]string{
			{bin, "vault", "create", p.repo, "--credentials", credentials},
			{bin, "register", credentials},
		}
	}
}

// passphrase protects nothing.
const passphrase = "a passphrase for the bench"

// sourcePath is for programs that restore files below their full path.
func sourcePath(p *place) string { return p.source }

// digest reads everything below dir as a careful user would.
func digest(dir string) []string {
	return shell(`find "$1" -type f -print0 | xargs -0 sha256sum > /dev/null`, dir)
}
