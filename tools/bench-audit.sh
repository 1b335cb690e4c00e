#!/bin/bash
# How long a run of the audit takes to read: roles, and a large source, for the first time and again.
# No password is tried, because the runs' scram.max_iterations is below the stored counts. Prints a
# table and judges nothing; with DOCS=1 it is added to docs/benchmarks.md.
# Called by make after `make install`, which sets PG_CONFIG.
#
#   ROLES  how many roles (10000)
#   ROWS   how many rows of a source (1000000)
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/server.sh

readonly ROLES=${ROLES:-10000} ROWS=${ROWS:-1000000}
readonly SECRET="'SCRAM-SHA-256\$4096:' || encode(substr(sha256((n || 's')::bytea), 1, 16), 'base64')
    || '\$' || encode(sha256((n || 'k')::bytea), 'base64') || ':' || encode(sha256((n || 'v')::bytea), 'base64')"

main() {
    trap clean EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    echo "A server with $ROWS rows …" >&2
    server_start scram_ext_bench_audit "shared_buffers = 256MB"
    sql "CREATE EXTENSION scram_ext" \
        "CREATE TABLE account AS SELECT n AS name, $SECRET AS secret
         FROM (SELECT 'user' || i AS n FROM generate_series(1, $ROWS) i) u" "VACUUM ANALYZE account"
    local empty roles_first roles_again first again short_1 short_2 now audit bytes
    empty=$(run "10 min")
    sql "DO \$\$ BEGIN FOR i IN 1..$ROLES LOOP EXECUTE format('CREATE ROLE r%s LOGIN', i); END LOOP; END \$\$" \
        "UPDATE pg_authid SET rolpassword = s.secret
         FROM (SELECT n, $SECRET AS secret FROM (SELECT 'r' || i AS n FROM generate_series(1, $ROLES) i) u) s
         WHERE rolname = s.n"
    roles_first=$(run "10 min")
    roles_again=$(run "10 min")
    sql "DO \$\$ BEGIN FOR i IN 1..$ROLES LOOP EXECUTE format('DROP ROLE r%s', i); END LOOP; END \$\$"
    run "10 min" >/dev/null

    sql "SELECT scram.add_audit_source('accounts', 'account', 'name', 'secret')"
    bytes=$(stored)
    first=$(run "10 min")
    bytes=$(($(stored) - bytes))
    again=$(run "10 min")
    sql "TRUNCATE scram_internal.source_state, scram_internal.source_slice, scram_internal.slice_finding,
         scram_internal.slice_kind, scram_internal.stored_secret"
    short_1=$(run "1 s")
    short_2=$(run "1 s")
    now=$(seconds "SELECT count(*) FROM scram.audit()")

    audit=$(
        cat <<EOF

## A run that only reads

| run | seconds |
|---|---|
| 16 roles | $empty |
| $ROLES roles, for the first time | $roles_first |
| $ROLES roles, again | $roles_again |
| $ROWS rows of a source, for the first time | $first |
| $ROWS rows, again, nothing changed | $again |
| $ROWS rows, budget 1 s, first slices | $short_1 |
| $ROWS rows, budget 1 s, next slices | $short_2 |
| \`scram.audit()\`, $ROWS rows | $now |

A row takes $((bytes / ROWS)) bytes in the extension's tables and indexes.
EOF
    )
    echo "$audit"
    [ -z "${DOCS:-}" ] || echo "$audit" >>docs/benchmarks.md
}

clean() { server_stop; }

# The seconds of a run with this budget.
run() {
    seconds "CALL scram.run_audit(budget => '$1')"
}

# Bytes of the extension's tables and indexes.
stored() {
    query "SELECT sum(pg_total_relation_size(oid)) FROM pg_class
           WHERE relnamespace = 'scram_internal'::regnamespace AND relkind = 'r'"
}

seconds() {
    query "LOAD 'scram_ext'" "SET scram.max_iterations = 4095" \
        "CREATE TEMP TABLE t AS SELECT clock_timestamp() AS t0" "$1" \
        "SELECT round(extract(epoch FROM clock_timestamp() - t0), 2) FROM t" | tail -n 1
}

main
