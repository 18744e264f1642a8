#!/usr/bin/env bash
# benches/peers/run.sh [--rounds N] [--json FILE] [--quick]
#
# Measures chains without work and hand-overs of tensors on Corn, on Ray and on Triton, in turns on this machine, and
# prints tables; README.md says how to read them. CORN=path takes a binary instead of building one.
set -euo pipefail

ray=(ray==2.60.0 numpy==2.4.6)
triton=(nvidia-pytriton==0.7.0 numpy==1.26.4)

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
peers=$root/target/peers
mkdir -p "$peers"
given=("$@")

die() {
    echo "run.sh: $*" >&2
    exit 2
}

command -v python3 >/dev/null || die "needs python3"
command -v cc >/dev/null || die "needs a C compiler, \`cc\`: for the yardstick and for the client of Triton"
[ -w /dev/shm ] || die "needs /dev/shm"

if [ -z "${CORN:-}" ]; then
    # The stages here need no models, and others' packages are optimized when they are linked.
    (cd "$root" && cargo build --profile dist --locked -p corn --no-default-features)
    CORN=${CARGO_TARGET_DIR:-$root/target}/dist/corn
fi
[ -x "$CORN" ] || die "no binary at $CORN"
# A copy, so that all rounds measure one binary whatever is built meanwhile.
cp -f "$CORN" "$peers/corn"

cc -O2 -o "$peers/yardstick" "$here/yardstick.c"
cc -O2 -D_GNU_SOURCE -o "$peers/client" "$here/client.c" -lrt
cc -O2 -shared -fPIC -o "$peers/libtriton_idle.so" "$here/triton_backend.c"

# Makes the environment $1 with the packages that follow, if it is not there with just these. A failure is said, and
# what is there is measured.
environment() {
    local at=$peers/$1 pip=()
    shift
    [ "$(cat "$at/pins" 2>/dev/null)" = "$*" ] && return
    rm -rf "$at"
    # Triton's wheel asks for clients that are not used here.
    [[ $* == *pytriton* ]] && pip=(--no-deps)
    python3 -m venv "$at" && "$at/bin/pip" install --quiet "${pip[@]}" "$@" && echo "$*" >"$at/pins"
}

have=()
if environment ray "${ray[@]}"; then
    have+=(--ray "$peers/ray/bin/python")
else
    have+=(--missing "Ray compiled graph=pip cannot install ${ray[*]}: no network, or no wheel for this Python")
fi
if environment triton "${triton[@]}"; then
    have+=(--triton "$peers/triton/bin/python")
else
    have+=(--missing "Triton=pip cannot install ${triton[*]}: no network, or no wheel for this Python")
fi

export PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/measure.py" --corn "$peers/corn" --tools "$peers" "${have[@]}" "${given[@]}"
