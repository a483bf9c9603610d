# The front door: `just` lists what there is. Without just: `npx --yes rust-just RECIPE`.
# Recipes install what they need, by apt where there is apt.

set shell := ["bash", "-euo", "pipefail", "-c"]

# list the recipes
default:
    @just --list --justfile {{ quote(justfile()) }}

# show the whole way of one backup, on PATH or on a tree it makes
demo *ARGS:
    go run ./cmd/waybill demo {{ ARGS }}

# everything CI runs: lint, tests with the race detector, journals held against scans, the way on real data, the way of disks that suffer, many workers that are killed
test: lint race rounds real ship workers

# the same as test
check: test

# build the programs into dist/
build:
    mkdir -p dist
    go build -trimpath -o dist/ ./cmd/...

# gofmt, vet and staticcheck, for Linux and Windows
lint: (_apt "gcc libc6-dev")
    #!/usr/bin/env bash
    set -euo pipefail
    unformatted=$(gofmt -l .)
    [ -z "$unformatted" ] || { printf 'not formatted, run gofmt -w on:\n%s\n' "$unformatted" >&2; exit 1; }
    staticcheck=$(go tool -n staticcheck)
    echo "vet and staticcheck for Linux"
    go vet ./...
    "$staticcheck" ./...
    # U1000 off: what only the mechanisms of Linux use is not dead code.
    echo "vet and staticcheck for Windows"
    GOOS=windows go vet ./...
    GOOS=windows "$staticcheck" -checks inherit,-U1000 ./...

# all tests, with the race detector
race *ARGS: _tools _azurite
    go test -race -timeout 20m {{ ARGS }} ./...

# random changes, and for each journal the scan of the same state; and many workers on one import, killed and paused: thousands of rounds
rounds TIMES="10": _tools
    WAYBILL_ROUNDS={{ TIMES }} go test -count 1 -timeout 15m -run '^Test(Rounds|Mounted|Shared)$' ./internal/save ./incremental/journal/... ./ingest

# the Go toolchain and /usr of this machine: seed, ingest, backup, verify, restore, compare
real *ROOTS: (_apt "rsync acl attr minisign")
    timeout --foreground 600 ./internal/bench/real.sh {{ ROOTS }}

# a set of disks with ext4 and NTFS through all that befalls them: pulled out, full, lost, with bad sectors, a pack too few
ship: (_apt "rsync acl attr minisign e2fsprogs ntfs-3g xfsprogs openssl mount")
    timeout --foreground 600 ./internal/bench/ship.sh

# eight waybill-ingest share the import of one seed into a container, and are killed at random; the vault is one worker's
workers *SEED: (_apt "rclone") _azurite
    timeout --foreground 300 ./internal/bench/workers.sh {{ SEED }}

# every fuzz target, SECONDS each
fuzz SECONDS="20":
    #!/usr/bin/env bash
    set -euo pipefail
    for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
        for target in $(go test -list '^Fuzz' "$dir" | grep '^Fuzz'); do
            echo "$dir $target"
            go test -run '^$' -fuzz "^$target\$" -fuzztime {{ SECONDS }}s "$dir"
        done
    done

# write the golden files anew; review the diff before you commit it
golden:
    #!/usr/bin/env bash
    set -euo pipefail
    packages=$(grep -rlF --include='*_test.go' '"update"' . | xargs -n1 dirname | sort -u)
    for dir in $packages; do
        go test -count 1 "$dir" -update
    done
    git status --short

# waybill beside restic, borg and tar | zstd; `just bench --help` tells the options
bench *ARGS: (_apt "restic borgbackup zstd")
    go run ./internal/bench {{ ARGS }}

# what shipping costs: slow disks, parity, ingest, resuming; `just bench-ship --help` tells the options
bench-ship *ARGS:
    go run ./internal/bench ship {{ ARGS }}

# little change among a million files, by journal and by scan, beside restic and borg; `just bench-incremental --help` tells the options
bench-incremental *ARGS: (_apt "restic borgbackup btrfs-progs e2fsprogs mount")
    go run ./internal/bench incremental {{ ARGS }}

# uploads, backups and restores to Azurite, beside rclone and restic; `just bench-azure --help` tells the options
bench-azure *ARGS: (_apt "restic rclone openssl util-linux") _azurite
    go run ./internal/bench azure {{ ARGS }}

# what the tests call beside Go
_tools: (_apt "gcc libc6-dev minisign acl attr btrfs-progs curl e2fsprogs fdisk zstd ntfs-3g mount openssl qemu-utils rclone wine64 binutils-mingw-w64-x86-64 xfsprogs")

# the emulator of Azure Blob Storage, for the tests, as its lockfile says
_azurite:
    #!/usr/bin/env bash
    set -euo pipefail
    cd internal/azurite/testdata
    [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --ignore-scripts

# install packages that are missing; on machines without apt, go on with what there is
_apt PACKAGES:
    #!/usr/bin/env bash
    set -euo pipefail
    missing=()
    for p in {{ PACKAGES }}; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || exit 0
    command -v apt-get >/dev/null || { echo "no apt-get here: install ${missing[*]} yourself, tests that lack them are skipped" >&2; exit 0; }
    root=(); [ "$(id -u)" = 0 ] || root=(sudo)
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp); trap 'rm -f "$log"' EXIT
    for attempt in 1 2 3; do
        if "${root[@]}" apt-get update -qq >"$log" 2>&1 &&
           "${root[@]}" apt-get install -qq --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
            exit 0
        fi
        sleep $((attempt * 5))
    done
    cat "$log" >&2
    echo "could not install ${missing[*]}" >&2
    exit 1
