#!/bin/sh
# Builds the fuzz targets and runs each for SECONDS (60 if not given): tests/fuzz/run.sh [SECONDS [TARGET…]]
#
# Needs a C++ compiler beside the toolchain that the repository names; no nightly. Where it cannot be
# built this fails loudly: nothing was fuzzed then. The inputs it begins with are every program, case and plan of the repository. What it learns
# stays in target/fuzz/corpus, and an input that ends a target is kept in target/fuzz/found and named.
# Mend the fault, and put the input beside the tests as a case. A program near the limit of nodes takes 20 s
# with all the counters on a busy machine, so one input may take 60.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
seconds=${1:-60}
[ $# -gt 0 ] && shift
targets=${*:-lexer compile plan verify}
work=${CARGO_TARGET_DIR:-$root/target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# Counters of every edge and comparison, for libFuzzer; the host triple keeps them out of build scripts.
counted="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
 -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code -Ccodegen-units=1 --cfg fuzzing"
if ! RUSTFLAGS=$(echo $counted) CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$work/build" \
    cargo build --release --target "$host"; then
    echo "NOTHING WAS FUZZED: the targets cannot be built (is there a C++ compiler?)" >&2
    exit 1
fi

mkdir -p "$work/seeds/text" "$work/seeds/plan" "$work/found"
find "$root/stdlib" "$root/dsl-examples" "$root/compiler/tests" -name '*.corn' | while read -r file; do
    cp "$file" "$work/seeds/text/$(echo "${file#"$root"/}" | tr / _)"
done
cp "$root"/plan/tests/plans/*.plan "$work/seeds/plan/"
# A snapshot begins with two lines of dashes that are not the plan's.
find "$root/compiler/tests" -name '*.plan.snap' | while read -r file; do
    awk 'dashes >= 2 { print } /^---$/ { dashes++ }' "$file" > "$work/seeds/plan/$(basename "$file" .snap)"
done

failed=
for target in $targets; do
    case $target in plan | verify) seeds=plan ;; *) seeds=text ;; esac
    mkdir -p "$work/corpus/$target"
    echo "== $target for $seconds s"
    "$work/build/$host/release/$target" "$work/corpus/$target" "$work/seeds/$seeds" \
        -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 -max_len=20000 \
        -dict=corn.dict -artifact_prefix="$work/found/$target-" -print_final_stats=1 2>"$work/$target.log" ||
        failed="$failed $target"
    grep -E 'stat::number_of_executed_units|stat::peak_rss_mb|cov:|panicked|SUMMARY|Test unit written' "$work/$target.log" | tail -n 5
done
if [ -n "$failed" ]; then
    echo "FAILED:$failed; the inputs are in $work/found" >&2
    exit 1
fi
echo "no target failed"
