#!/bin/bash
# The checks of docs/GPU.md that one GPU can show: two worker processes share it, hand tensors to each other where they
# lie, to the CPU and to a client; one is killed under load; a language model writes on it what it writes on the CPU.
# Times are printed.
#
#   tests/gpu/run.sh [CORN]     CORN is a built command; without it one is built, without ONNX
#
# Needs python3 with numpy. Says that it is skipped, and ends with 0, where there is no driver. Takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
corn=${1:-}
if ! ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1' && [ -z "${LD_LIBRARY_PATH:-}" ]; then
    echo "skipped: libcuda.so.1 is not found, so there is no GPU to check"
    exit 0
fi
if [ -z "$corn" ]; then
    cargo build --release -p corn --no-default-features --features candle
    corn=${CARGO_TARGET_DIR:-target}/release/corn
fi
corn=$(realpath "$corn")
folder=$(mktemp -d "${TMPDIR:-/tmp}/cornXXXX")
export CORN_STATE_DIR=$folder/state CORN_GPUS=${CORN_GPUS:-0,0}
trap 'for up in chain chat; do "$corn" down $up >/dev/null 2>&1 || true; done; rm -rf "$folder"' EXIT
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
        "$corn" call chain --route $route --in of=$bytes --repeat "${REPEATS:-300}" --concurrency 1 --json >"$folder/times" || failed=1
        python3 <"$folder/times" -c '
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
"$corn" down chain >/dev/null

echo "== 2: a language model writes on a GPU what it writes on the CPU with exact weights"
cp tests/gpu/chat.corn "$folder"
if "$corn" models prefetch tests/gpu/weights.corn >"$folder/said" 2>&1; then
    # The weights with nothing rounded, beside the program.
    weights=$(find "${CORN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/corn}" -name '*135M*.gguf' | head -1)
    python3 tests/gpu/exact.py "$weights" "$folder/exact.gguf"
    "$corn" up "$folder/chat.corn" --inflight 64 --detach
    "$corn" ps chat
    while read -r prompt; do
        for route in host device; do
            "$corn" call chat --route $route --in prompt="$prompt" >"$folder/$route"
        done
        check "$prompt" cmp "$folder/host" "$folder/device"
    done <<'P'
Why is the sky blue?
What is a dataflow compiler?
Name three rivers in Europe.
Write one sentence about corn.
How do I boil an egg?
P
    for run in "host 1 4" "device 1 50" "device 8 200" "device 32 600"; do
        read -r route at_once repeats <<<"$run"
        printf '%-8s %3s at once  ' $route $at_once
        "$corn" call chat --route $route --in prompt="Tell me a long story." --repeat $repeats --concurrency $at_once \
            --json >"$folder/times" || failed=1
        python3 <"$folder/times" -c '
import json, sys
run = json.loads(sys.stdin.readline())
whole, first = run["whole_us"]["p50"] / 1000, run["first_us"]["p50"] / 1000
tokens = run["items_per_second"]
print(f"{tokens:.0f} tokens/s  whole p50 {whole:.1f} ms  first p50 {first:.1f} ms")'
    done
    # Beside others: what one asks again and again while up to 31 others come and go.
    "$corn" call chat --route device --in prompt="Tell me a long story." --repeat 600 --concurrency 31 --json >"$folder/load" &
    load=$!
    alike() {
        for _ in 1 2 3 4 5 6 7 8; do
            [ "$("$corn" call chat --route device --in prompt="How do I boil an egg?")" = "$(cat "$folder/device")" ] || return 1
        done
    }
    check "an answer among others is the one alone" alike
    check "none of the others fails" wait $load
    "$corn" down chat >/dev/null
else
    echo "skipped: $(tail -1 "$folder/said")"
fi
echo "== skipped: 6 (no executor spreads over GPUs)"
exit $failed
