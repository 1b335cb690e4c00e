#!/bin/bash
# Fails if one of the named crates needs pgrx: the core is to be built, tested and fuzzed without
# PostgreSQL.
set -euo pipefail

for crate in "$@"; do
    tree=$(cargo tree -p "$crate" -e normal,build --prefix none)
    if grep -q '^pgrx' <<<"$tree"; then
        echo "$crate depends on pgrx:" >&2
        cargo tree -p "$crate" -e normal,build -i pgrx >&2
        exit 1
    fi
    echo "$crate: no pgrx in its dependency tree"
done
