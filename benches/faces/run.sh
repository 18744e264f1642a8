#!/usr/bin/env bash
# benches/faces/run.sh [--rounds N] [--seconds S] [--only WORDS]
#
# Puts the same questions to Corn's faces and to bare servers made with tonic and axum, in turns on this machine, and
# prints medians, 99th percentiles and requests a second. --only "kserve small" takes the cases with these words.
# CORN=path takes a binary instead of building one.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
kept=$target/faces
mkdir -p "$kept"

# The components here need neither candle nor ONNX; with them the build takes ten times as long.
build=(cargo build --release --locked -p corn -p corn-benches --no-default-features --bin corn --bench faces)
bench=$("${build[@]}" --message-format=json-render-diagnostics |
    sed -n 's/.*"name":"faces".*"executable":"\([^"]*\)".*/\1/p')
[ -x "$bench" ] || { echo "run.sh: cargo names no bench \`faces\`" >&2; exit 2; }
# Copies, so that all rounds measure one binary whatever is built meanwhile.
cp -f "${CORN:-$target/release/corn}" "$kept/corn"
cp -f "$bench" "$kept/bench"
exec "$kept/bench" --corn "$kept/corn" "$@"
