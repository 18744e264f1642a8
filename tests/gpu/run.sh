#!/bin/bash
# The checks of docs/GPU.md that one GPU can show: two worker processes share it, hand tensors to each other where they
# lie, to the CPU and to a client; one is killed under load. Times are printed for 64 KiB and 64 MiB.
#
#   tests/gpu/run.sh [CORN]     CORN is a built command; without it one is built, without candle and ONNX
#
# Needs python3. Says that it is skipped, and ends with 0, where there is no driver. Takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
corn=${1:-}
if ! ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1' && [ -z "${LD_LIBRARY_PATH:-}" ]; then
    echo "skipped: libcuda.so.1 is not found, so there is no GPU to check"
    exit 0
fi
if [ -z "$corn" ]; then
    cargo build --release -p corn --no-default-features
    corn=${CARGO_TARGET_DIR:-target}/release/corn
fi
corn=$(realpath "$corn")
folder=$(mktemp -d "${TMPDIR:-/tmp}/cornXXXX")
export CORN_STATE_DIR=$folder/state CORN_GPUS=${CORN_GPUS:-0,0}
trap '"$corn" down chain >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
failed=0
check() { # check NAME COMMAND…
    local name=$1
    shift
    if "$@"; then echo "ok      $name"; else echo "FAILED  $name"; failed=1; fi
}

"$corn" up tests/gpu/chain.corn --inflight 8 --detach
echo "== 1: GPUs as workers see them"
"$corn" ps chain

echo "== 3 and 4: bit by bit, by cuda and through the host"
is_inverted() { # the answer to `make` with so many bytes
    "$corn" call chain --route make --in "count=$1" --out "bytes=$folder/out.npy" >/dev/null &&
        python3 - "$folder/out.npy" "$1" <<'P'
import sys
data, count = open(sys.argv[1], "rb").read(), int(sys.argv[2])
body = data[10 + int.from_bytes(data[8:10], "little"):]
sys.exit(body != bytes([~count & 255]) * count)
P
}
for bytes in 1 5000 65536 118785 67108864; do
    check "make of $bytes bytes" is_inverted $bytes
done
counted() { [ "$("$corn" call chain --route "$1" --in "of=$2")" = "$2" ]; }
check "read by a GPU of another process" counted read 67108864
check "read by the CPU of another process" counted measure 67108864

echo "== times: 'hand' hands over, 'read' also reads all of it on the other side, 'measure' goes through the host"
for route in hand read measure; do
    for bytes in 65536 67108864; do
        printf '%-8s %10s bytes  ' $route $bytes
        "$corn" call chain --route $route --in of=$bytes --repeat "${REPEATS:-300}" --concurrency 1 --json | python3 -c '
import json, sys
times = json.loads(sys.stdin.readline())["whole_us"]
p50, p99 = times["p50"], times["p99"]
print(f"p50 {p50} µs  p99 {p99} µs  {int(sys.argv[1]) / max(p50, 1) / 1000:.2f} GB/s" )' $bytes
    done
done

echo "== 5: the owner is killed under load"
"$corn" call chain --route make --in count=1000000 --repeat "${LOAD:-2000}" --concurrency 8 --json >"$folder/load" &
load=$!
for _ in 1 2 3; do
    sleep 1
    owner=$("$corn" ps chain --json | python3 -c '
import json, sys
workers = json.load(sys.stdin)[0]["status"]["workers"]
print(next(worker["pid"] for worker in workers if "fill" in worker["components"]) or "")')
    [ -z "$owner" ] || kill -9 "$owner"
done
check "no request fails when its worker is killed" wait $load
at_rest() {
    for _ in $(seq 100); do
        "$corn" ps chain --json | python3 -c '
import json, sys
held = ("leases", "bytes", "arena_bytes", "device_bytes")
workers = json.load(sys.stdin)[0]["status"]["workers"]
sys.exit(any(worker["standing"] != "ready" or any(worker[what] for what in held) for worker in workers))' && return 0
        sleep 0.2
    done
    return 1
}
check "everything is given back" at_rest
"$corn" ps chain
echo "== skipped: 2 (candle is not built for GPUs), 6 (no executor spreads over GPUs)"
exit $failed
