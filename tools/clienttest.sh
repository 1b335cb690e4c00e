#!/bin/bash
# The client tests, against the installed extension. Called by make, which sets PG and PG_CONFIG.
#
#   tools/clienttest.sh                  all files of pgrx-tests/tests
#   tools/clienttest.sh FILES [NAME]     these files; in them the tests with NAME in their name
#
# Without FILES it leaves out the tests of what the server at hand comes without, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

# Files whose tests need pg_cron, pgaudit or PostgreSQL's own further extensions, postgres_fdw alone, and TLS, LDAP and
# PAM in the server.
readonly with_libraries=' attack_jobs attack_review coexistence cron docs errors leaks packaging safe_ways source_types '
readonly with_postgres_fdw=' fleet fleet_hostile fleet_privileges fleet_shared '
readonly with_tls=' compare_hba explain_login explain_login_rows hba_lookup hba_words no_matching_hba_rule '
# Files that compare whole reports, in which each version has roles of its own.
readonly with_15=' company '

# The tests make hundreds of clusters and databases, each of a thousand files. Their folder is in memory where there is
# plenty of it, and where programs may be run from there.
readonly memory=/dev/shm needed_kib=$((8 * 1024 * 1024))

main() {
    local file files=() others=() out=() failed=0
    if [ -z "${TMPDIR-}" ] && is_roomy "$memory"; then export TMPDIR=$memory; fi
    if [ -n "${1-}" ]; then
        read -ra files <<<"$1"
        shift
    else
        [ $# -eq 0 ] || shift
        for file in pgrx-tests/tests/*.rs; do
            file=$(basename "$file" .rs)
            if runs_here "$file"; then files+=("$file"); else out+=("$file"); fi
        done
        [ ${#out[@]} -eq 0 ] || echo "Left out, because this PostgreSQL has another version than 15, or no pg_cron, pgaudit, citext, postgres_fdw or TLS: ${out[*]}"
    fi
    for file in "${files[@]}"; do
        # Its tests wait for the full minute, on which pg_cron starts jobs: all of them together take as long as one.
        if [ "$file" = cron ]; then
            RUST_TEST_THREADS=8 tests --test cron "$@" || failed=1
        else
            others+=(--test "$file")
        fi
    done
    [ ${#others[@]} -eq 0 ] || tests "${others[@]}" "$@" || failed=1
    return "$failed"
}

tests() {
    cargo test --no-fail-fast -p scram-ext-client-tests "$@"
}

runs_here() {
    case $with_libraries in *" $1 "*) has_library pg_cron && has_library pgaudit && has_library citext || return 1 ;; esac
    case $with_postgres_fdw in *" $1 "*) has_library postgres_fdw || return 1 ;; esac
    case $with_15 in *" $1 "*) [ "$PG" = 15 ] || return 1 ;; esac
    case $with_tls in *" $1 "*) "$PG_CONFIG" --configure | grep -q ssl || return 1 ;; esac
}

# Asks for free memory too, because a file system in memory may say that it has more.
is_roomy() {
    local type options free
    read -r type options < <(findmnt -no FSTYPE,OPTIONS --target "$1") || return 1
    [ "$type" = tmpfs ] && [[ ,$options, != *,noexec,* ]] || return 1
    free=$(df --output=avail "$1" | tail -1)
    [ "$free" -ge "$needed_kib" ] && [ "$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)" -ge "$needed_kib" ]
}

has_library() {
    [ -f "$("$PG_CONFIG" --pkglibdir)/$1.so" ]
}

main "$@"
