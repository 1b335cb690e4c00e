#!/bin/bash
# Fails if a module of src/ depends on a higher layer, or on another feature.
#
# lib.rs
#   features: audit, fleet, guard, handshake, hba_change, login, role, verifier    no feature knows another one
#   shared:   cluster_keys, history
#   plumbing: pg                                  knows no feature
#   base:     error, guc, limits, wordlist
#
# The crates below scram_ext must not know PostgreSQL; tools/no-pgrx.sh looks at that.
set -euo pipefail
cd "$(dirname "$0")/.."

# Prints the modules that a module's files name with "crate::".
uses() {
    local files=("src/$1.rs")
    if [[ -d src/$1 ]]; then
        mapfile -t -O 1 files < <(find "src/$1" -name '*.rs')
    fi
    # One "use" a line first, with its braces: use crate::{a, b::c} names a and b.
    sed -e 's|//.*||' "${files[@]}" | tr '\n' ' ' | tr ';' '\n' |
        grep -oE 'crate::(\{[^}]*\}|[a-z_]+)' | sed -e 's/crate:://' -e 's/[{}]/ /g' |
        tr ',' '\n' | sed -E 's/^ *([a-z_]+).*/\1/' | grep -E '^[a-z_]+$' | sort -u
}

declare -A allowed=(
    [error]="limits"
    [guc]=""
    [limits]=""
    [wordlist]=""
    [pg]="error guc limits pg"
    [cluster_keys]="error guc limits pg"
    [fleet]="error guc limits pg fleet"
    [verifier]="error guc limits pg cluster_keys"
    [handshake]="error guc limits pg cluster_keys handshake"
    [hba_change]="error guc limits pg hba_change"
    [history]="error guc limits pg"
    [login]="error guc limits pg login"
    [role]="error guc limits pg cluster_keys history role"
    [guard]="error guc limits pg history guard wordlist"
    [audit]="error guc limits pg cluster_keys audit wordlist"
)

status=0
for module in "${!allowed[@]}"; do
    for used in $(uses "$module"); do
        if [[ $used != "$module" && " ${allowed[$module]} " != *" $used "* ]]; then
            echo "src/$module uses crate::$used, which it must not know" >&2
            status=1
        fi
    done
done
for file in src/*.rs; do
    module=$(basename "$file" .rs)
    case $module in
    lib | pg_test | tests) ;;
    *)
        if [[ -z ${allowed[$module]+known} ]]; then
            echo "tools/layers.sh does not know src/$module" >&2
            status=1
        fi
        ;;
    esac
done

# Inside src/pg: no circle. tsort prints the members of one and fails.
for file in src/pg/*.rs; do
    module=$(basename "$file" .rs)
    sed -e 's|//.*||' "$file" | tr '\n' ' ' | tr ';' '\n' |
        grep -oE '(super|crate::pg)::(\{[^}]*\}|[a-z_]+)' | sed -E -e 's/(super|crate::pg):://' -e 's/[{}]/ /g' |
        tr ',' '\n' | sed -E 's/^ *([a-z_]+).*/\1/' | grep -E '^[a-z_]+$' | sort -u |
        while read -r used; do
            [[ -f src/pg/$used.rs ]] && echo "$module $used"
        done || true
done | tsort >/dev/null || status=1

[[ $status == 0 ]] && echo "src/: every module knows only those below it"
exit "$status"
