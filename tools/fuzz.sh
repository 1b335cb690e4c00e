#!/bin/bash
# Runs every fuzz target of the core for T seconds each, from the committed corpus; what is found on
# the way stays in target. Ends at the first crash and names the input.
set -euo pipefail
cd "$(dirname "$0")/../crates/scram-core/fuzz"

readonly seconds=${1:-60}

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "Installing cargo-fuzz"
    cargo install cargo-fuzz --locked --quiet </dev/null
fi
# The sanitizers of libFuzzer are not in stable Rust; there is no unsafe code in the core for them
# to look at, so that its coverage is enough.
for target in $(cargo fuzz list); do
    corpus=../../../target/fuzz/corpus/$target
    mkdir -p "$corpus"
    echo "$target, $seconds seconds"
    cargo fuzz run --sanitizer none --target-dir ../../../target/fuzz "$target" "$corpus" "corpus/$target" \
        -- -max_total_time="$seconds" -max_len=2048 -print_final_stats=1 -verbosity=0 </dev/null 2>&1 |
        grep -E "^stat::number_of_executed_units|panicked|ERROR|artifact|error" || true
    [ "${PIPESTATUS[0]}" -eq 0 ]
done
