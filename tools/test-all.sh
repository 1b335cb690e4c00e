#!/bin/bash
# The tests with each major version of PostgreSQL, one after the other, and a table at the end. Called by make.
#
#   tools/test-all.sh           every test with every version
#   tools/test-all.sh choice    a choice of the client tests with 16 and later: for each change, beside `make test`
#
#   VERSIONS  which of them, in this order (15 16 17 18)
#
# A failure does not keep the other parts from running. The output of a part is also in target/test-all.
set -euo pipefail
cd "$(dirname "$0")/.."
# Make sets these for one version.
unset PG PG_CONFIG PGRX_HOME MAKEFLAGS MAKELEVEL

read -ra versions <<<"${VERSIONS:-15 16 17 18}"
readonly logs=target/test-all versions
# For each change: the differences between versions, verifiers against the server's own, logins, and the upgrade.
readonly choice=(versions server_values login upgrade)
# 18 has all that differs from 15: also what reads the server's memory, catalogs and files.
readonly choice18=(catalog challenge password_privileges set_password audit findings seeded hba_on_disk hba_text
    explain_login dump cancel)
table=() passed=0 failed=0 broken=0

main() {
    rm -rf "$logs"
    mkdir -p "$logs"
    local begun=$SECONDS version tests
    for version in "${versions[@]}"; do
        if [ "${1-}" != choice ]; then
            whole "$version"
        elif [ "$version" != 15 ]; then
            part "$version" install 'build and install'
            tests=("${choice[@]}")
            [ "$version" != 18 ] || tests+=("${choice18[@]}")
            part "$version" clienttest 'a choice of the client tests' "TEST=${tests[*]}"
        fi
    done
    echo
    printf '%-11s %-30s %7s %7s %8s\n' PostgreSQL part passed failed time
    printf '%s\n' "${table[@]}"
    printf '%-42s %7d %7d %8s\n\n' all "$passed" "$failed" "$(duration $((SECONDS - begun)))"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$broken" -eq 0 ]
}

# The test build of pgtest is installed over the real one, so that it comes first.
whole() {
    [ "$1" != 15 ] || part 15 core 'tests without a server'
    part "$1" pgtest 'tests in the server'
    part "$1" install 'build and install'
    part "$1" order 'ten orders of the schema'
    part "$1" clienttest 'all client tests'
    [ "$1" != 15 ] || part 15 baseline 'a CPU without AVX'
}

# part VERSION TARGET TITLE [VARIABLE=VALUE…]: one target of make, and its line of the table.
part() {
    local version=$1 target=$2 title=$3 log=$logs/$1-$2.log begun=$SECONDS mark='' counts
    shift 3
    printf '\n==== PostgreSQL %s: %s ====\n' "$version" "$title"
    make --no-print-directory "$target" "PG=$version" "$@" 2>&1 </dev/null | tee "$log" || { broken=1 mark=' FAILED'; }
    counts=$(awk '/^test result: / { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i - 1); if ($i ~ /^failed/) f += $(i - 1) } }
        END { print p + 0, f + 0 }' "$log")
    passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* }))
    table+=("$(printf '%-11s %-30s %7d %7d %8s%s' "$version" "$title" "${counts% *}" "${counts#* }" \
        "$(duration $((SECONDS - begun)))" "$mark")")
}

duration() {
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

main "$@"
