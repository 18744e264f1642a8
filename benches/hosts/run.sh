#!/usr/bin/env bash
# benches/hosts/run.sh [BYTES_A_SECOND [BYTES [REPEAT]]]
#
# Hands a tensor of BYTES from one host to another REPEAT times, where each connection between them is let through at
# BYTES_A_SECOND at most, and prints what `corn call` measures. The hosts are network namespaces: this needs root.
# CORN=path takes a binary instead of building one.
set -euo pipefail

rate=${1:-60e6} bytes=${2:-67108864} repeat=${3:-12}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ -z "${CORN:-}" ]; then
    (cd "$root" && cargo build --release --workspace)
    CORN=${CARGO_TARGET_DIR:-$root/target}/release/corn
fi

work=$(mktemp -d)
export CORN_STATE_DIR=$work/state
cleanup() {
    ip netns exec corn-a "$CORN" down hand >/dev/null 2>&1 || true
    kill $(jobs -p) 2>/dev/null || true
    wait
    ip netns delete corn-a 2>/dev/null || true
    ip netns delete corn-b 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

ip netns add corn-a && ip netns add corn-b
ip -n corn-a link add eth0 type veth peer name eth0 netns corn-b
ip -n corn-a address add 10.78.0.1/24 dev eth0
ip -n corn-b address add 10.78.0.2/24 dev eth0
for host in corn-a corn-b; do
    ip -n "$host" link set eth0 up
    ip -n "$host" link set lo up
done

await() {
    for _ in $(seq 300); do
        eval "$1" && return
        sleep 0.1
    done
    echo "run.sh: $2" >&2
    cat "$work"/*.log >&2
    exit 1
}

ip netns exec corn-a "$CORN" up "$here/hand.corn" --host a --listen 10.78.0.1:7070 --inflight 2 >"$work/up.log" 2>&1 &
await '[ -s "$CORN_STATE_DIR/hand/token" ]' "the deployment does not come up"
ip netns exec corn-b python3 "$here/throttle.py" 10.78.0.2:7071 127.0.0.1:7072 "$rate" &
CORN_STATE_DIR=$work/b ip netns exec corn-b "$CORN" worker --join 10.78.0.1:7070 \
    --token-file "$work/state/hand/token" --as w1 --listen 127.0.0.1:7072 --advertise 10.78.0.2:7071 >"$work/worker.log" 2>&1 &
await 'grep -q "are ready" "$work/up.log"' "the worker does not join"
ip netns exec corn-a "$CORN" call hand --in "count=$bytes" --repeat "$repeat"
