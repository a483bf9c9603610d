#!/usr/bin/env bash
# Many workers import one seed, and are killed at random:
#
#     workers.sh [SEED]
#
# Two disks arrived in a container, and a third, of parity, is here; of the first a pack is missing and another damaged. Eight waybill-ingest at a time share
# the work on a vault in another container. Again and again one of them is killed, and another begins; one is stopped for longer than its lease,
# and goes on. In the end the vault must be what one worker alone makes of the same disks in a directory: the same names and bytes,
# the same totals in one receipt, the same custody logs. rclone carries everything between directories and containers.
#
# The service is Azurite, which `just _azurite` installs. Everything is below TMPDIR, or /dev/shm where that has room, in a directory of its
# own, which is gone at the end, as is the service, however it ends. SEED repeats the same choices; what they hit differs all the same.
set -euo pipefail
cd "$(dirname "$0")/../.."

base=${TMPDIR:-/tmp}
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -1)" -lt 1500 ] || base=/dev/shm
work=$(mktemp -d "$base/waybill-workers-XXXXXX")
RANDOM=${1:-$$}
many=8 kills=24
declare -A worker=() # process ids by number
azurite=

cleanup() {
    local p
    for p in "${worker[@]}" $azurite; do
        kill -KILL "$p" 2>/dev/null || true
        wait "$p" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

step() {
    local said=$1 start=$SECONDS
    shift
    "$@" >"$work/log" 2>&1 || { local code=$?; echo "FAILED ($code): $said: $*" >&2; tail -50 "$work/log" >&2; exit 1; }
    printf '%4d s  %s\n' $((SECONDS - start)) "$said"
}

fail() { echo "FAILED: $*" >&2; tail -n 5 "$work"/out.* >&2; exit 1; }

# The service, on a free port.
node internal/azurite/testdata/node_modules/azurite/dist/src/blob/main.js --blobHost 127.0.0.1 --blobPort 0 --inMemoryPersistence --silent \
    --disableTelemetry --skipApiVersionCheck >"$work/azurite" 2>&1 &
azurite=$!
for _ in {1..300}; do
    endpoint=$(sed -n 's/.*successfully listens on \(http[^ ]*\).*/\1/p' "$work/azurite")
    [ -z "$endpoint" ] || break
    kill -0 $azurite || fail "Azurite does not run: $(cat "$work/azurite")"
    sleep 0.1
done
account=devstoreaccount1
endpoint=$endpoint/$account
key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw== # everybody's: Azurite's documentation has it
place() { echo "azblob://$account/$1?endpoint=$endpoint"; }

export WAYBILL_PASSPHRASE="a passphrase for a test" WAYBILL_STATE=$work/state TZ=UTC LC_ALL=C.UTF-8 AZURE_STORAGE_KEY=$key
export RCLONE_CONFIG=/dev/null RCLONE_AZUREBLOB_USE_EMULATOR=true RCLONE_AZUREBLOB_ENDPOINT=$endpoint RCLONE_RETRIES=1
PATH=$work:$PATH

step "build the programs" go build -o "$work/" ./cmd/waybill ./cmd/waybill-ingest
mkdir "$work"/{files,disk1,disk2,disk3,out}
for i in {1..100}; do head -c 600K /dev/urandom >"$work/files/$i"; done
step "vault create" waybill vault create "$work/one" --credentials "$work/credentials.json"
step "register" waybill register "$work/credentials.json"
step "seed onto three disks, one of parity" waybill seed --offline --no-hwtest --pack-size 1MiB --parity-disks 1 \
    --to "$work/disk1" --to "$work/disk2" --to "$work/disk3" "$work/files"
carrying=()
for d in "$work"/disk?; do [ ! -d "$d"/machines/*/packs ] || carrying+=("$d"); done
mapfile -t packs < <(find "${carrying[0]}"/machines/*/packs -type f -size +500k | sort)
rm "${packs[0]}"
printf x | dd of="${packs[1]}" bs=1 seek=1000 conv=notrunc status=none
sources=()
for d in "$work"/disk?; do
    cp -a "$d" "$work/copy${d##*disk}"
    if [[ " ${carrying[*]} " = *" $d "* ]]; then
        step "carry ${d##*/} into a container" rclone copy "$d" ":azureblob:arrived/${d##*/}"
        sources+=("$(place "arrived/${d##*/}")")
    else
        sources+=("$d")
    fi
done
step "make the same vault in a container" rclone copy "$work/one" :azureblob:many
step "import by one worker" waybill-ingest --json --vault "$work/one" "$work"/copy?
grep '"ingest"' "$work/log" >"$work/want"

# begin N: one more worker of that number.
begin() {
    waybill-ingest --json --share --slice 2MiB --lease 15s --vault "$(place many)" "${sources[@]}" >"$work/out/$1" 2>"$work/out.$1" &
    worker[$1]=$!
}

start=$SECONDS
for n in $(seq $many); do begin "$n"; done
stopped=0 killed=0
for ((k = 1; k <= kills; k++)); do
    sleep "0.$((RANDOM % 6))"
    n=$((1 + RANDOM % many))
    if [ $k = 6 ]; then # its lease will be over when it goes on
        kill -STOP "${worker[$n]}" 2>/dev/null && stopped=$n since=$SECONDS
    elif [ $n != "$stopped" ]; then
        code=0
        kill -KILL "${worker[$n]}"
        { wait "${worker[$n]}" || code=$?; } 2>/dev/null
        [ $code != 137 ] || killed=$((killed + 1)) # else it was done
        begin "$n"
    fi
done
[ $stopped = 0 ] || { sleep $((since + 18 > SECONDS ? since + 18 - SECONDS : 0)); kill -CONT "${worker[$stopped]}"; }
for n in $(seq $many); do
    wait "${worker[$n]}" || fail "worker $n ends with exit code $?"
    unset "worker[$n]"
done
printf '%4d s  import by %d workers, of which %d were killed\n' $((SECONDS - start)) $many $killed
[ $killed -gt 5 ] || fail "hardly any worker was killed"

step "get the vault from its container" rclone copy :azureblob:many "$work/many"
# the same names and bytes, but for what names its writer and its time
diff -r --exclude receipts --exclude custody "$work/one" "$work/many" || fail "the vaults differ"
[ "$(find "$work"/many/machines/*/receipts -name '*.json' | wc -l)" = 1 ] || fail "there is more than one receipt"
totals() { grep -h '"ingest"' "$@" | sed 's/"commits":[0-9]*//; s/"receipt":"[^"]*"//; s/"damaged":\[[^]]*\]//' | sort -u; }
[ "$(totals "$work"/out/*)" = "$(totals "$work/want")" ] || fail "the totals differ: $(totals "$work"/out/* "$work/want")"
logs() { waybill-ingest custody --json "$1" | grep -o '"set":"[^"]*"\|"disk":[0-9]*\|"number":[0-9]*\|"event":"[^"]*"\|"packs":[0-9]*\|"bytes":[0-9]*'; }
diff <(logs "$work/one") <(logs "$work/many") || fail "the custody logs differ"
step "verify it" waybill-ingest verify "$work/many"
echo "the same as one worker's, $SECONDS s"
