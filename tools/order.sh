#!/bin/bash
# Generates the schema ten times from the built library, and creates and drops the extension from
# each script. pgrx's order changes from run to run with the same library, so a block that doesn't
# name all it needs in its `requires` fails in some orders only.
# Called by make after `make install`, which built the library. Sets PG and PG_CONFIG.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/server.sh
source tools/shared.sh

readonly runs=10
readonly scripts=target/order
extensions=$("$PG_CONFIG" --sharedir)/extension

main() {
    trap 'server_stop; remove' EXIT
    trap 'exit 130' INT TERM
    generate
    server_start scram_ext_order

    # CREATE EXTENSION … VERSION 'order1' reads scram_ext--order1.sql from the server's own folder.
    as_root install -m 644 "$scripts"/scram_ext--order*.sql "$extensions"
    local before after i
    before=$(row_counts)
    for i in $(seq "$runs"); do
        sql "CREATE EXTENSION scram_ext VERSION 'order$i'" || { echo "script $scripts/scram_ext--order$i.sql" >&2; exit 1; }
        sql "DROP EXTENSION scram_ext"
        after=$(row_counts)
        diff <(echo "$before") <(echo "$after") || { echo "DROP EXTENSION left something behind" >&2; exit 1; }
    done
    echo "order: $runs scripts created and dropped the extension, and left nothing"
}

generate() {
    rm -rf "$scripts"
    mkdir -p "$scripts"
    local i
    for i in $(seq "$runs"); do
        cargo pgrx schema "pg$PG" --release --skip-build --out "$scripts/scram_ext--order$i.sql" \
            >"$scripts/log" 2>&1 </dev/null || { cat "$scripts/log" >&2; exit 1; }
    done
    echo "order: $runs scripts generated, in $(sha256sum "$scripts"/*.sql | cut -c1-64 | sort -u | wc -l) different orders"
}

# The number of rows of every catalog, except the planner's statistics.
row_counts() {
    sql "SELECT format('SELECT %L, count(*) FROM %s', relname, oid::regclass) FROM pg_class
         WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'pg\_statistic%'
         ORDER BY 1 \gexec"
}

sql() {
    env -u PGOPTIONS "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -U postgres postgres <<<"$1"
}

remove() {
    as_root rm -f "$extensions"/scram_ext--order*.sql
}

main
