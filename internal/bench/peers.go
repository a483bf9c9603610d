package main

import "path/filepath"

// restic with one of its compression settings. Version 2 repositories compress.
func restic(name, compression string) *tool {
	t := &tool{
		name: name, needs: []string{"restic"}, version: []string{"restic", "version"}, restored: sourcePath,
		env: func(p *place) []string {
			return []string{"RESTIC_PASSWORD=" + passphrase, "RESTIC_REPOSITORY=" + p.repo,
				"RESTIC_CACHE_DIR=" + filepath.Join(p.own, "cache")}
		},
		setup: func(p *place) [][]string { return [][]string{{"restic", "init", "--repository-version", "2"}} },
	}
	if compression == "fastest" {
		t.probe = shell(`restic backup --help | grep -q fastest`)
	}
	backup := func(p *place) []string {
		return []string{"restic", "backup", "--quiet", "--compression", compression, p.source}
	}
	t.steps = []step{
		{rowFirst, backup},
		{rowUnchanged, backup},
		{rowCheck, func(p *place) []string { return []string{"restic", "check", "--quiet", "--read-data"} }},
		{rowRestore, func(p *place) []string { return []string{"restic", "restore", "--quiet", "latest", "--target", p.out} }},
	}
	return t
}

func borg() *tool {
	create := func(archive string) func(p *place) []string {
		return func(p *place) []string {
			return []string{"borg", "create", "--compression", "zstd,1", p.repo + "::" + archive, p.source}
		}
	}
	return &tool{
		name: "borg", needs: []string{"borg"}, version: []string{"borg", "--version"}, restored: sourcePath,
		env: func(p *place) []string {
			return []string{"BORG_BASE_DIR=" + p.own, "BORG_PASSPHRASE=" + passphrase, "BORG_DISPLAY_PASSPHRASE=no"}
		},
		setup: func(p *place) [][]string {
			return [][]string{{"borg", "init", "--encryption", "repokey-blake2", p.repo}}
		},
		steps: []step{
			{rowFirst, create("first")},
			{rowUnchanged, create("second")},
			{rowCheck, func(p *place) []string { return []string{"borg", "check", "--verify-data", p.repo} }},
			{rowRestore, func(p *place) []string { return shell(`cd "$1" && borg extract "$2::second"`, p.out, p.repo) }},
		},
	}
}

func kopia() *tool {
	create := func(p *place) []string { return []string{"kopia", "snapshot", "create", "--no-progress", p.source} }
	return &tool{
		name: "kopia", needs: []string{"kopia"}, version: []string{"kopia", "--version"},
		restored: func(p *place) string { return "" },
		env: func(p *place) []string {
			return []string{"KOPIA_PASSWORD=" + passphrase, "KOPIA_CHECK_FOR_UPDATES=false",
				"KOPIA_CONFIG_PATH=" + filepath.Join(p.own, "kopia.config"),
				"KOPIA_CACHE_DIRECTORY=" + filepath.Join(p.own, "cache"),
				"KOPIA_LOG_DIR=" + filepath.Join(p.own, "log")}
		},
		setup: func(p *place) [][]string {
			return [][]string{
				{"kopia", "repository", "create", "filesystem", "--path", p.repo},
				{"kopia", "policy", "set", "--global", "--compression", "zstd-fastest"},
			}
		},
		steps: []step{
			{rowFirst, create},
			{rowUnchanged, create},
			{rowCheck, func(p *place) []string { return []string{"kopia", "snapshot", "verify", "--verify-files-percent=100"} }},
			{rowRestore, func(p *place) []string {
				return []string{"kopia", "snapshot", "restore", "--no-progress", "--snapshot-time=latest", p.source, p.out}
			}},
		},
	}
}

// tar piped through zstd neither encrypts nor deduplicates: the floor that compression sets.
func tar() *tool {
	return &tool{
		name: "tar", needs: []string{"tar", "zstd"}, version: []string{"zstd", "--version"},
		restored: func(p *place) string { return "" }, env: noEnv, setup: noSetup,
		steps: []step{
			{rowFirst, func(p *place) []string {
				return shell(`tar -C "$1" -cf - . | zstd -q -1 -T0 -o "$2/all.tar.zst"`, p.source, p.repo)
			}},
			{rowRestore, func(p *place) []string {
				return shell(`zstd -q -dc "$1/all.tar.zst" | tar -C "$2" -xpf -`, p.repo, p.out)
			}},
		},
	}
}

// cp does nothing but copy: the floor that the file system sets.
func cp() *tool {
	return &tool{
		name: "cp", needs: []string{"cp"}, version: []string{"cp", "--version"},
		restored: func(p *place) string { return "" }, env: noEnv, setup: noSetup,
		steps: []step{
			{rowFirst, func(p *place) []string { return []string{"cp", "-a", p.source + "/.", p.repo} }},
			{rowRestore, func(p *place) []string { return []string{"cp", "-a", p.repo + "/.", p.out} }},
		},
	}
}

func noEnv(*place) []string     { return nil }
func noSetup(*place) [][]string { return nil }
