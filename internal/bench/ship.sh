#!/usr/bin/env bash
# An ordinary day of shipping, on small disks with real file systems in image files, ext4 and NTFS:
#
#     ship.sh
#
# A machine is seeded onto four disks and one of parity. Meanwhile it is interrupted, killed, one disk is pulled out, and the others fill up.
# Backups go on while the disks travel. On the way one disk is lost, another gets bad sectors. They arrive in odd order, two at once. Another
# machine's disk loses a pack beyond repair, and what it held is sent again though files changed. In the end every recovery point of both
# comes back bit for bit, with rsync as the judge, from copies that were kept.
#
# It needs root, loop devices and FUSE, and takes a GiB; for other users it is skipped. Everything is below TMPDIR, or /dev/shm where that has room, in a directory of its
# own; mounts and directory are gone at the end, however it ends.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ "$(id -u)" = 0 ] || { echo "ship.sh: skipped: it mounts disks, which takes root"; exit 0; }
base=${TMPDIR:-/tmp}
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -1)" -lt 2000 ] || base=/dev/shm
work=$(mktemp -d "$base/waybill-ship-XXXXXX")
mnt=$work/mnt log=$work/log vault=$work/vault
running=()

cleanup() {
    local p d
    for p in "${running[@]}"; do
        kill -KILL "$p" 2>/dev/null || true
        wait "$p" 2>/dev/null || true
    done
    for d in "$mnt"/*; do mountpoint -q "$d" && { umount "$d" || umount -l "$d"; }; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

export GOMAXPROCS=2 WAYBILL_PASSPHRASE="a passphrase for a test" WAYBILL_STATE=$work/state WAYBILL_VAULT=$vault TZ=UTC LC_ALL=C.UTF-8
PATH=$work:$PATH

fail() {
    echo "FAILED: $said: $*" >&2
    echo "  at line(s) ${BASH_LINENO[*]} of ship.sh; what it said last:" >&2
    tail -60 "$log" >&2
    exit 1
}

# run CODE WHAT COMMAND...: expects the exit code, 0 or another. What it says is in $log. In a function that it calls, a command that fails
# doesn't end it.
run() {
    local want=$1 start=$SECONDS code=0
    said=$2
    shift 2
    "$@" >"$log" 2>&1 || code=$?
    [ "$code" = "$want" ] || fail "exit code $code, not $want: $*"
    printf '%4d s  %s\n' $((SECONDS - start)) "$said"
}

# says PATTERN...: each is in what the last command said.
says() {
    local p
    for p; do grep -Eq -- "$p" "$log" || fail "it doesn't say: $p"; done
}

# count N PATTERN: in N lines of it.
count() {
    local n
    n=$(grep -Ec -- "$2" "$log" || true)
    [ "$n" = "$1" ] || fail "it says $n times, not $1: $2"
}

# compare WANT GOT [OPTION...]: rsync would have nothing to do. --checksum reads all bytes of both.
compare() {
    local todo
    todo=$(rsync -aHAXn --checksum --delete --modify-window=-1 --itemize-changes "${@:3}" "$1/" "$2/") || return 1
    [ -z "$todo" ] || { echo "$2 differs from $1:"; head -40 <<<"$todo"; return 1; }
}

# Disks. Each is a number, an image file, and a mount point that is its name here.

disk() { echo "$mnt/$1"; }

make_disk() { # NUMBER TYPE MIB
    truncate -s "$3M" "$work/$1.img"
    case $2 in
        ext4) mkfs.ext4 -q -m 0 -L "waybill$1" "$work/$1.img" ;;
        ntfs) mkfs.ntfs -q -F -Q -L "waybill$1" "$work/$1.img" ;;
    esac >"$log" 2>&1
    echo "$2" >"$work/$1.type"
    mkdir -p "$mnt/$1"
}

plug_in() { # OPTIONS NUMBER...
    local n type options=$1
    shift
    for n; do
        type=$(cat "$work/$n.type")
        mount -t "${type/ntfs/ntfs-3g}" -o "loop,$options" "$work/$n.img" "$(disk "$n")"
    done
}

unplug() { # a program that looks at new disks, such as udev's, may hold one for a moment
    local n
    for n; do
        umount "$(disk "$n")" 2>/dev/null || { sleep 1; umount "$(disk "$n")"; }
    done
}

# with FLAG NUMBER...: sets at to the options that name the disks; without a flag to their mount points.
with() {
    local n flag=$1
    shift
    at=()
    for n; do at+=(${flag:+"$flag"} "$(disk "$n")"); done
}

packs_on() { # DISK...: how many packs are on them
    local d
    for d; do find "$(disk "$d")" -path '*/packs/??/*' -type f 2>/dev/null; done | wc -l
}

# begin COMMAND...: in the background.
begin() {
    "$@" >"$log" 2>&1 &
    pid=$!
    running=("$pid")
}

# until_packs N DISK...: waits until there are N packs on the disks; the command that writes them must not end before.
until_packs() {
    local want=$1
    shift
    while [ "$(packs_on "$@")" -lt "$want" ]; do
        kill -0 "$pid" 2>/dev/null || fail "it ended before there were $want packs on disks $*"
        sleep 0.02
    done
}

ended() { # CODE: how what was begun has to end
    local code=0
    wait "$pid" 2>/dev/null || code=$?
    running=()
    [ "$code" = "$1" ] || fail "exit code $code, not $1"
    printf '        %s\n' "$said"
}

# noise NAME BYTES: the same bytes for the same name, that nothing can compress.
noise() {
    local sum
    sum=$(md5sum <<<"$1")
    head -c "$2" /dev/zero | openssl enc -aes-128-ctr -K "${sum%% *}" -iv "${sum%% *}"
}

# make_source DIRECTORY MIB: files large and small, alike and not, compressible and not, and everything that is not a file.
make_source() {
    local dir=$1 mib=$2 i
    mkdir -p "$dir/media" "$dir/text/sub" "$dir/many" "$dir/odd/empty"
    for ((i = 0; i < mib * 7 / 8; i += 4)); do noise "media $dir $i" $((4 << 20)) >"$dir/media/$(printf '%03d' $i).bin"; done
    seq 1 300000 >"$dir/text/numbers" && cp "$dir/text/numbers" "$dir/text/sub/copy"
    noise "many $dir" $((mib << 17)) | split -b 9973 -a 4 -d - "$dir/many/"
    (
        cd "$dir/odd"
        truncate -s 64M hole && noise hole 5000 | dd of=hole bs=1 seek=20000000 conv=notrunc status=none
        ln ../text/numbers hard && ln -s nowhere dangling && mkfifo fifo && : >nothing
        noise x 70000 >"$(printf 'not \xff utf-8\n, and a newline')"
        setfattr -n user.note -v travels nothing && setfacl -m u:1234:r nothing
        chmod 4711 nothing && touch -d '1969-12-31 23:59:59.123456789' dangling nothing
    )
}

# edit DIRECTORY ROUND: what happens between two backups.
edit() {
    local dir=$1 round=$2
    noise "edit $round" 300000 >"$dir/new-$round"
    noise "patch $round" 5000 | dd of="$dir/media/004.bin" bs=1 seek=$((round * 100000)) conv=notrunc status=none
    rm "$dir/many/000$round" && mv "$dir/many/001$round" "$dir/renamed-$round"
    echo "line $round" >>"$dir/text/numbers" && chmod 600 "$dir/many/002$round"
    [ "$round" -ne 2 ] || rm -r "$dir/text/sub" "$dir/media/008.bin"
}

# backup N: edits, keeps a copy, saves.
backup() {
    edit "$src" "$1"
    cp -a "$src" "$work/copy-$1"
    run 0 "backup $1, while the disks travel" waybill backup
}

said="making disks"
for need in losetup mkfs.ext4 mkfs.ntfs ntfs-3g xfs_io rsync minisign openssl setfattr setfacl; do
    command -v $need >/dev/null || { echo "ship.sh: it takes $need: just ship installs it" >&2; exit 1; }
done
run 0 "build the programs" go build -o "$work/" ./cmd/...
make_disk 1 ext4 64
make_disk 2 ntfs 64
make_disk 3 ext4 64
make_disk 4 ext4 192
make_disk 5 ntfs 112
plug_in rw 1 2 3 4
src=$work/source
make_source "$src" 128
cp -a "$src" "$work/copy-0"
echo "disks 1, 3 and 4 with ext4, 2 and 5 with NTFS; $(du -sm "$src" | cut -f1) MiB of files; working in $work"

echo "AT THE CUSTOMER"
run 0 "vault create" waybill vault create "$vault" --credentials "$work/credentials.json"
run 0 "register" waybill register "$work/credentials.json"
run 0 "plan" waybill plan "$src" --bandwidth 4kbit --disk-size 128MB --parity-disks 1
says "^Ship: " "and 1 parity disk"
run 0 "hwtest" waybill hwtest "$(disk 1)" --quick

with --to 1 2 3 4
seed=(nice waybill seed "${at[@]}" --parity-disks 1 --pack-size 2MiB --note "parcel 1Z999")
said="seed to three disks and one of parity; interrupted: exit code 130"
begin "${seed[@]}" "$src"
until_packs 6 1 2 3
kill -INT "$pid"
ended 130
with "" 1 2 3 4
run 0 "seed status" waybill seed status "${at[@]}"
says "not complete" "disk 4  0 packs.*filling, parity" "disk 3  [1-9][0-9]* packs?, .*filling, [0-9.]+ MB free"

said="seed --resume; killed"
begin "${seed[@]}" --resume
until_packs $(($(packs_on 1 2 3) + 3)) 1 2 3
kill -KILL "$pid"
ended 137

said="seed --resume; disk 3 is pulled out, the others are filled: exit code 26"
begin "${seed[@]}" --resume
until_packs $(($(packs_on 3) + 1)) 3
xfs_io -x -c shutdown "$(disk 3)"
ended 26
says "disk 3 .*input/output error" "the other disks go on" "another disk is needed"
unplug 1 2 3
plug_in rw 5
with --to 4 5
run 0 "seed --resume with another disk, the full ones disconnected" waybill seed --resume "${at[@]}" --pack-size 2MiB --note "parcel 1Z999"
says "recovery point [0-9a-f]+  complete" "disk 5 of 5  sealed" "disk 4 of 5  sealed, parity" "disk 1  not sealed" "disk 2  not sealed" "disk 3  not sealed"
plug_in rw 1 2
with "" 1 2 4
run 0 "seed seal: the full ones" waybill seed seal "${at[@]}" --note "parcel 1Z999"
says "disk 1 of 5  sealed" "disk 2 of 5  sealed" "disk 3  not sealed"
plug_in rw 3
with "" 3 4
run 0 "seed seal: the one that was pulled out, plugged in again" waybill seed seal "${at[@]}" --note "parcel 1Z998"
says "disk 3 of 5  sealed"
with "" 1 2 3 4 5
run 0 "seed status" waybill seed status "${at[@]}"
says "  complete"
count 5 "^disk [1-5]  .*  sealed"

backup 1
run 0 "points" waybill points
says "in transit, 0 of 4 disks imported"
with --from 1 2 3 5
run 0 "restore from the disks at hand and the vault, on another machine" \
    env WAYBILL_STATE="$work/other" waybill restore latest "${at[@]}" --from "$vault" --to "$work/out"
run 0 "compare" compare "$work/copy-1" "$work/out$src"
rm -r "$work/out"

check_with_stock_tools() (
    cd "$1" && sha256sum --quiet -c SHA256SUMS || return 1
    cd machines/*/ || return 1
    key=$(grep -o '"signing_key":"[^"]*"' machine.json | cut -d'"' -f4)
    for f in manifests/*.json; do
        minisign -V -m "$f" -x "${f%.json}"-*.minisig -P "$key" || return 1
    done
)
for n in 1 2 3 4 5; do run 0 "check disk $n with sha256sum and minisign" check_with_stock_tools "$(disk $n)"; done

echo "ON THE WAY"
unplug 1 2 3 4 5
rm "$work/1.img"
echo "        disk 1 is lost"

# spoil NUMBER: sixteen blocks of a pack, and a sector of another, are not what they were.
spoil() {
    local packs
    plug_in rw "$1"
    mapfile -t packs < <(find "$(disk "$1")" -path '*/packs/??/*' -size +1000k | sort)
    noise bad 65536 | dd of="${packs[0]}" bs=4096 seek=7 conv=notrunc status=none
    noise worse 512 | dd of="${packs[1]}" bs=512 seek=1001 conv=notrunc status=none
    unplug "$1"
}
spoil 2
spoil 3
echo "        disks 2 and 3 get bad sectors"
backup 2

echo "AT THE VAULT"
plug_in ro 2
plug_in rw 5
run 0 "verify of a disk that is whole" waybill-ingest verify "$(disk 5)"
run 20 "verify of a disk with bad sectors: parity mends them" waybill-ingest verify "$(disk 2)"
count 2 "^  damaged: "
says "^  repairable: "
run 21 "ingest disk 5" waybill-ingest "$(disk 5)" --note "parcel 1Z999"
run 0 "points" waybill points
says "in transit, 1 of 4 disks imported"
plug_in rw 3 4
with "" 2 3 4 5
run 20 "verify of what is here, together: disk 1 can be rebuilt" waybill-ingest verify "${at[@]}"
with "" 5 4
waybill-ingest "${at[@]}" >"$work/log2" 2>&1 &
running=($!)
code=0 other=0 said="two ingests at once: disks 2 and 3, 5 and 4; what is with the other is missing, or not"
waybill-ingest "$(disk 2)" "$(disk 3)" >"$log" 2>&1 || code=$?
wait "${running[0]}" || other=$?
running=()
cat "$work/log2" >>"$log"
for c in "$code" "$other"; do [ "$c" = 0 ] || [ "$c" = 21 ] || fail "exit code $c"; done
printf '        %s\n' "$said"
with "" 3 4
run 0 "ingest again, of what is here: disk 1 is rebuilt by the parity disk" waybill-ingest "${at[@]}"
run 0 "verify the vault: nothing is missing" waybill verify "$vault"
run 0 "ingest once more does nothing" waybill-ingest "$(disk 2)"
says " 0 packs verified, 0 imported"
run 0 "points" waybill points
count 0 "in transit"
run 0 "custody of all disks, at the vault" waybill custody "$vault" --json
says '"disk":1,"number":2,"event":"sealed"' '"disk":4,.*"event":"repaired"' '"disk":5,.*"event":"received".*"note":"parcel 1Z999"' '"disk":2,.*"event":"imported"'
count 0 '"disk":1,.*"signer":"vault"'
run 0 "custody of a disk, on it" waybill custody "$(disk 3)"
says "sealed    by the machine .*parcel 1Z998" "imported  by the vault"
backup 3

# points: the ids of complete recovery points, oldest first.
points() { waybill points --json | grep '"state":"complete"' | sed 's/.*"type":"point","id":"\([0-9a-f]*\)".*/\1/'; }

restore_and_compare() { # POINT COPY
    rm -rf "$work/out"
    waybill restore "$1" --to "$work/out" || return
    compare "$work/copy-$2" "$work/out$src"
}
mapfile -t ids < <(points)
[ ${#ids[@]} = 4 ] || fail "there are ${#ids[@]} complete points, not 4"
for n in 0 1 2 3; do run 0 "restore point $((n + 1)) of 4 from the vault, and compare" restore_and_compare "${ids[n]}" "$n"; done

echo "ANOTHER MACHINE, ONE DISK, NO PARITY, A PACK LOST BEYOND REPAIR"
export WAYBILL_STATE=$work/state2
src=$work/letters
mkdir "$src"
for n in 10 11 12 13 14 15 16 17 18 19; do noise "letter $n" 700000 >"$src/$n"; done
cp -a "$src" "$work/copy-10"
run 0 "register" waybill register "$work/credentials.json"
make_disk 6 ext4 64
plug_in rw 6
run 0 "seed" waybill seed --to "$(disk 6)" --pack-size 1MiB --parity off "$src"
pack=$(find "$(disk 6)" -path '*/packs/??/*' -size +1000k | sort | head -1)
rm "$pack"
run 21 "ingest" waybill-ingest "$(disk 6)"
count 1 "  missing: pack"
says "  missing: pack ${pack##*/}, absent, of disk 1"
run 0 "points" waybill points
says "1 pack wanted"
run 21 "restore what there is, to see what was in it" waybill restore latest --to "$work/out2"
lost=()
for n in "$src"/*; do [ -e "$work/out2$n" ] || lost+=("${n##*/}"); done
[ ${#lost[@]} -ge 2 ] || fail "only ${#lost[@]} files were in the pack"
noise "changed meanwhile" 700000 >"$src/${lost[0]}"
mv "$src/${lost[1]}" "$src/moved"
echo more >>"$src/new"
cp -a "$src" "$work/copy-11"
run 20 "backup heals: one file of the lost pack changed meanwhile, one was renamed" waybill backup
says "lacks 700 kB of $src/${lost[0]}" "healed 1 of 1 lost pack: 0 put again"
run 0 "backup again has nothing to heal" waybill backup
run 0 "verify the vault: nothing is missing" waybill verify "$vault"
run 0 "points" waybill points
count 0 "wanted"
mapfile -t ids < <(points)
run 0 "restore the newest point, and compare" restore_and_compare "${ids[-1]}" 11
rm -r "$work/out"
run 20 "restore the first point: one file is lost for good" waybill restore "${ids[0]}" --to "$work/out"
count 1 "damaged: "
says "damaged: $src/${lost[0]}: "
run 0 "compare the rest" compare "$work/copy-10" "$work/out$src" --exclude "/${lost[0]}"
echo "all the same, $SECONDS s"
