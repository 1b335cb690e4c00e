#!/bin/bash
# Runs every fuzz target of the core for T seconds each, from the committed corpus. New inputs stay
# in target. It ends at the first crash and names the input.
set -euo pipefail
cd "$(dirname "$0")/../crates/scram-core/fuzz"

readonly seconds=${1:-60}

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "Installing cargo-fuzz"
    cargo install cargo-fuzz --locked --quiet </dev/null
fi
# The sanitizers of libFuzzer are not in stable Rust; there is no unsafe code in the core for them
# to look at, so that its coverage is enough.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in $(cargo fuzz list); do
    corpus=../../../target/fuzz/corpus/$target
    mkdir -p "$corpus"
    if ! cargo fuzz run --sanitizer none --target-dir ../../../target/fuzz "$target" "$corpus" "corpus/$target" \
        -- -max_total_time="$seconds" -max_len=2048 -print_final_stats=1 -verbosity=0 </dev/null >"$log" 2>&1; then
        cat "$log"
        exit 1
    fi
    printf '%-14s %s seconds, %s inputs, clean\n' "$target" "$seconds" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
done
