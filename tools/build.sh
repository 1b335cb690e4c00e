#!/bin/bash
# Makes a release build: the files of the extension below target/package/pgN, each at its path in the system.
#
#   tools/build.sh          with the library of the release profile
#   tools/build.sh dist     with that of packages, from profile dist of Cargo.toml
#
# Called by other tools, with PG and PG_CONFIG of make.
set -euo pipefail

readonly tree=target/package/pg$PG

rm -rf "$tree"
mkdir -p target/package
# The standard output, cargo-pgrx's messages about itself, goes to the log; cargo's progress is shown.
if ! cargo pgrx package --profile release --pg-config "$PG_CONFIG" --out-dir "$tree" >"$tree.log" </dev/null; then
    cat "$tree.log" >&2
    exit 1
fi
# cargo-pgrx links with --no-gc-sections, which keeps two megabytes of code that nothing calls.
if [ "${1-}" = dist ]; then
    PGRX_PG_CONFIG_PATH=$PG_CONFIG cargo build --profile dist --lib --no-default-features --features "pg$PG"
    install -m 644 "${CARGO_TARGET_DIR:-target}/dist/libscram_ext.so" "$tree$("$PG_CONFIG" --pkglibdir)/scram_ext.so"
fi
# cargo-pgrx takes along the scripts between versions, not those that install a released one.
cp sql/scram_ext--*.sql "$tree$("$PG_CONFIG" --sharedir)/extension/"
