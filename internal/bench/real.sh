#!/usr/bin/env bash
# The whole way on real data, with the programs as a user has them and rsync as the judge:
#
#     real.sh [DIRECTORY...]        (default: the Go toolchain and /usr)
#
# vault, register, seed, ingest; then the data changes; backup; every hop verified with the programs and with stock
# tools; both points restored from the vault, one straight from the disk on "another machine", and compared bit for bit: content, owner,
# mode, times in nanoseconds, links, extended attributes, ACLs. Prints what it does and the seconds each step took.
#
# Everything is written below TMPDIR, or /dev/shm where that has room, in a directory of its own that is gone at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

roots=("$@")
if [ ${#roots[@]} -eq 0 ]; then
    roots=(/usr)
    case "$(go env GOROOT)" in /usr/*) ;; *) roots+=("$(go env GOROOT)") ;; esac
fi

kib=$(du -skxc "${roots[@]}" | tail -1 | cut -f1)
room() { df --output=avail -k "$1" 2>/dev/null | tail -1; }
base=${TMPDIR:-/tmp}
# What is kept at the worst moment: vault, disk and a restored tree. On a tmpfs that is memory, leave some.
[ "$(room /dev/shm || echo 0)" -lt $((kib * 5 / 2)) ] || base=/dev/shm
[ "$(room "$base")" -ge $((kib * 2)) ] || { echo "real.sh: $base has no room for twice the $((kib >> 10)) MiB of ${roots[*]}" >&2; exit 1; }
work=$(mktemp -d "$base/waybill-real-XXXXXX")
trap 'rm -rf "$work"' EXIT

export WAYBILL_PASSPHRASE="a passphrase for a test" WAYBILL_STATE=$work/state
PATH=$work:$PATH

step() {
    local said=$1 start=$SECONDS
    shift
    "$@" >"$work/log" 2>&1 || { local code=$?; echo "FAILED ($code): $said: $*" >&2; tail -50 "$work/log" >&2; exit 1; }
    printf '%4d s  %s\n' $((SECONDS - start)) "$said"
}

# compare WANT GOT: rsync would have nothing to do. --checksum reads all bytes of both.
compare() {
    local todo
    todo=$(rsync -aHAXxn --checksum --delete --modify-window=-1 --itemize-changes "$1/" "$2/") || return 1
    [ -z "$todo" ] || { echo "$2 differs from $1:"; head -40 <<<"$todo"; return 1; }
}

# edit DIRECTORY: what happens to files between two backups.
edit() {
    local dir=$1 n=0 f
    while IFS= read -r -d '' f; do
        n=$((n + 1))
        case $((n % 9)) in
            0) echo "one more line" >>"$f" ;;
            1) rm "$f" ;;
            2) mv "$f" "$f.renamed" ;;
            3) chmod 600 "$f" ;;
            4) truncate -s 100 "$f" ;;
            5) ln "$f" "$f.hard" ;;
            6) printf 'in the middle' | dd of="$f" bs=1 seek=50 conv=notrunc status=none ;;
            7) setfattr -n user.note -v "$n" "$f" && setfacl -m u:1234:r "$f" ;;
            8) touch -d '1969-12-31 23:59:59.123456789' "$f" ;;
        esac
    done < <(find "$dir" -type f -size +1k -print0 | sort -z | awk 'BEGIN { RS = ORS = "\0" } NR % 25 == 0')
    truncate -s 1G "$dir/hole" && echo end >>"$dir/hole"
    cp -a "$dir/src/fmt" "$dir/copied" && rm -rf "$dir/src/sort"
    ln -s nowhere "$dir/dangling" && mkfifo "$dir/fifo"
    printf 'x' >"$dir/$(printf 'not \xff utf-8\n, and a newline')"
}

step "build the programs" go build -o "$work/" ./cmd/...
echo "saving $((kib >> 10)) MiB of ${roots[*]}, working in $work"
step "copy the Go toolchain, to have something to change" cp -a "$(go env GOROOT)" "$work/go"
cp -a "$work/go" "$work/go-before"
mkdir "$work/vault" "$work/disk" "$work/out"

step "vault create" waybill vault create "$work/vault" --credentials "$work/credentials.json"
step "register" waybill register "$work/credentials.json"
step "seed" waybill seed --to "$work/disk" "$work/go" "${roots[@]}"
step "check the disk with sha256sum" sh -c 'cd "$1" && sha256sum --quiet -c SHA256SUMS' sh "$work/disk"
key=$(sed -n 's/.*"signing_key":"\([^"]*\)".*/\1/p' "$work"/disk/machines/*/machine.json)
step "check its manifest with minisign" \
    minisign -Vm "$work"/disk/machines/*/manifests/00000001.json -x "$work"/disk/machines/*/manifests/00000001-*.minisig -P "$key"
step "verify the disk, without keys" env -u WAYBILL_PASSPHRASE WAYBILL_STATE="$work/no-state" waybill verify "$work/disk"
step "ingest" waybill-ingest --vault "$work/vault" "$work/disk"
first=$(waybill points --json | sed -n 's/.*"id":"\([0-9a-f]*\)".*/\1/p' | head -1)

step "restore the toolchain straight from the disk, on another machine" env WAYBILL_STATE="$work/other-state" \
    waybill restore latest "$work/go" --from "$work/disk" --to "$work/out"
step "compare" compare "$work/go-before" "$work/out$work/go"
rm -rf "$work/disk" "$work/out" && mkdir "$work/out"

step "change the copy" edit "$work/go"
step "backup" waybill backup
step "backup again, nothing changed" waybill backup
step "verify --data" waybill verify "$work/vault" --data
step "restore the first point's toolchain" waybill restore "$first" "$work/go" --to "$work/out"
step "compare" compare "$work/go-before" "$work/out$work/go"
rm -rf "$work/out" && mkdir "$work/out"
step "restore everything" waybill restore latest --to "$work/out"
for root in "$work/go" "${roots[@]}"; do
    step "compare $root" compare "$root" "$work/out$root"
done
echo "all the same, $SECONDS s"
