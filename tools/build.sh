#!/bin/bash
# Makes a release build: the files of the extension below target/package/pgN, each at its path in the system.
#
#   tools/build.sh [PROFILE]    the release profile, or another one of Cargo.toml: dist for packages
#
# Called by other tools, with PG and PG_CONFIG of make.
set -euo pipefail

readonly tree=target/package/pg$PG

rm -rf "$tree"
mkdir -p target/package
# The standard output, cargo-pgrx's messages about itself, goes to the log; cargo's progress is shown.
if ! cargo pgrx package --profile "${1:-release}" --pg-config "$PG_CONFIG" --out-dir "$tree" >"$tree.log" </dev/null; then
    cat "$tree.log" >&2
    exit 1
fi
# cargo-pgrx takes along the scripts between versions, not those that install a released one.
cp sql/scram_ext--*.sql "$tree$("$PG_CONFIG" --sharedir)/extension/"
