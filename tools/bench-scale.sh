#!/bin/bash
# Cost by size: runs of the audit over roles and over rows of a source, comparisons of pg_hba.conf, a partitioned source,
# the pure functions in a parallel plan, and a refresh of a fleet. Prints tables for docs/scale.md and judges nothing.
# Needs `make install` and postgres_fdw; PG_CONFIG says which server, as make does.
#
#   SIZES    numbers of roles and rows (100 1000 10000 100000)
#   SERVERS  how many servers of a fleet (200)
#   PARTS    which tables (roles hba rows partitions parallel fleet)
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/server.sh

readonly SIZES=${SIZES:-100 1000 10000 100000} SERVERS=${SERVERS:-200} PARTS=${PARTS:-roles hba rows partitions parallel fleet}
readonly SECRET="'SCRAM-SHA-256\$4096:' || encode(substr(sha256((n || 's')::bytea), 1, 16), 'base64')
    || '\$' || encode(sha256((n || 'k')::bytea), 'base64') || ':' || encode(sha256((n || 'v')::bytea), 'base64')"

main() {
    trap server_stop EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    local part
    for part in $PARTS; do
        server_start scram_ext_bench_scale "shared_buffers = 256MB" "max_connections = 60"
        sql "SET client_min_messages = warning; CREATE EXTENSION scram_ext" "CREATE EXTENSION postgres_fdw"
        "$part"
        server_stop
    done
}

roles() {
    echo "## Roles"
    echo
    echo "| roles | first run | second run | peak memory | findings | tables | \`audit()\` | \`compare_hba()\` |"
    echo "|---|---|---|---|---|---|---|---|"
    local size now compared first second findings
    for size in $SIZES; do
        # Without CREATE ROLE, which takes longer than the audit.
        sql "DELETE FROM pg_authid WHERE rolname LIKE 'bench\\_%'" "DELETE FROM scram_internal.known_role" \
            "INSERT INTO pg_authid (oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
                                    rolreplication, rolbypassrls, rolconnlimit, rolpassword, rolvaliduntil)
             SELECT 1000000 + i, n, false, true, false, false, true, false, false, -1, $SECRET, NULL
             FROM (SELECT i, 'bench_' || i AS n FROM generate_series(1, $size) i) u" "VACUUM ANALYZE pg_authid"
        clear
        first=$(run)
        second=$(run)
        now=$(seconds "SET scram.max_iterations = 4095; SELECT count(*) FROM scram.audit()")
        compared=$(seconds "SELECT count(*) FROM scram.compare_hba(E'local all all trust\\nhost all all 10.0.0.0/8 scram-sha-256')")
        findings=$(query "SELECT count(*) FROM scram.audit_finding")
        echo "| $size | $first | $second | $findings | $(($(stored) / 1024)) kB | ${now% *} | ${compared% *} |" | row
    done
    echo
}

# The file has rules for one role or for all, and for one database and network; in the proposed text every tenth has
# changed, and half of these are for all roles.
hba() {
    echo "## Comparisons"
    echo
    echo "| rules | roles | databases | differences | \`compare_hba()\` | peak memory |"
    echo "|---|---|---|---|---|---|"
    local size rules roles databases text changed
    for size in 50:100:5 500:2000:5 500:2000:50 500:10000:50 4999:2000:50; do
        IFS=: read -r rules roles databases <<<"$size"
        # Without CREATE ROLE and CREATE DATABASE, which take longer than the comparison.
        sql "DELETE FROM pg_authid WHERE rolname LIKE 'bench\\_%'" "DELETE FROM pg_database WHERE datname LIKE 'bench\\_%'" \
            "INSERT INTO pg_authid SELECT (jsonb_populate_record(a, jsonb_build_object(
                 'oid', (1000000 + i)::text, 'rolname', n, 'rolsuper', false, 'rolpassword', $SECRET))).*
             FROM pg_authid a, (SELECT i, 'bench_' || i AS n FROM generate_series(1, $roles) i) u
             WHERE a.rolname = 'postgres'" \
            "INSERT INTO pg_database SELECT (jsonb_populate_record(d, jsonb_build_object(
                 'oid', (2000000 + i)::text, 'datname', 'bench_' || i))).*
             FROM pg_database d, generate_series(1, $databases) i WHERE d.datname = 'postgres'"
        text="SELECT E'local all all trust\\n' || string_agg(format(E'host bench_%s %s 10.%s.%s.0/24 %s\\n',
                  1 + i % $databases, CASE WHEN i % 20 = 0 THEN 'all' ELSE 'bench_' || 1 + i % $roles END, i / 256, i % 256,
                  CASE WHEN i % 10 = 0 THEN METHOD ELSE 'scram-sha-256' END), '' ORDER BY i) FROM generate_series(1, $rules) i"
        query "${text/METHOD/\'scram-sha-256\'}" >"$dir/data/pg_hba.conf"
        sql "SELECT pg_reload_conf()"
        changed=$(query "SELECT count(*) FROM scram.compare_hba((${text/METHOD/\'md5\'}))")
        echo "| $rules | $roles | $databases | $changed | $(seconds "SELECT count(*) FROM scram.compare_hba((${text/METHOD/\'md5\'}))" |
            sed 's/ / s | /') MB |"
    done
    echo
}

rows() {
    echo "## Rows of a source"
    echo
    echo "| rows | first run | second run | peak memory | tables |"
    echo "|---|---|---|---|---|"
    local size first second
    for size in $SIZES; do
        clear
        sql "SET client_min_messages = warning; DROP TABLE IF EXISTS account" "DELETE FROM scram.audit_source" \
            "CREATE TABLE account AS SELECT n AS name, $SECRET AS secret
             FROM (SELECT 'user' || i AS n FROM generate_series(1, $size) i) u" "VACUUM ANALYZE account" \
            "SELECT scram.add_audit_source('accounts', 'account', 'name', 'secret')"
        first=$(run)
        second=$(run)
        echo "| $size | $first | $second | $(($(stored) / 1024)) kB |" | row
    done
    echo
}

partitions() {
    local first second
    sql "CREATE TABLE account (id int, name text, secret text) PARTITION BY RANGE (id)" \
        "DO \$\$ BEGIN FOR i IN 0..199 LOOP
             EXECUTE format('CREATE TABLE account_%s PARTITION OF account FOR VALUES FROM (%s) TO (%s)', i, i * 500, (i + 1) * 500);
         END LOOP; END \$\$" \
        "INSERT INTO account SELECT i, n, $SECRET FROM (SELECT i, 'user' || i AS n FROM generate_series(0, 99999) i) u" \
        "VACUUM ANALYZE account" "SELECT scram.add_audit_source('accounts', 'account', 'name', 'secret')"
    first=$(run)
    second=$(run)
    echo "## A source with 200 partitions"
    echo
    echo "| rows in 200 partitions | first run | second run | peak memory |"
    echo "|---|---|---|---|"
    echo "| 100000 | $first | $second |" | row
    echo
}

# Functions that derive keys, on the session's process alone and with two workers.
parallel() {
    local plan="SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET jit = off"
    sql "CREATE TABLE stored AS SELECT i, scram.generate('secret' || i) AS secret FROM generate_series(1, 2000) i" \
        "ALTER TABLE stored SET (parallel_workers = 2)" "VACUUM ANALYZE stored"
    echo "## Parallel query"
    echo
    echo "| query on 2000 verifiers of 4096 iterations | no worker | 2 workers |"
    echo "|---|---|---|"
    local query alone shared
    for query in "SELECT count(*) FROM stored WHERE scram.verify('secret1', secret)" \
        "SELECT count(scram.match_any(secret, ARRAY['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])) FROM stored"; do
        alone=$(seconds "$plan; SET max_parallel_workers_per_gather = 0; $query")
        shared=$(seconds "$plan; SET max_parallel_workers_per_gather = 2; $query")
        echo "| \`${query#SELECT }\` | ${alone% *} s | ${shared% *} s |"
    done
    query "$plan" "EXPLAIN (COSTS OFF) $query" | sed 's/^/    /'
    echo
}

# Each server is this one under another name, so that the times have both sides of the work in them.
fleet() {
    local before refreshed again
    sql "CREATE ROLE fleet_auditor LOGIN PASSWORD 'bench'" \
        "GRANT SELECT ON scram.audit_run, scram.audit_finding, scram.audit_census TO fleet_auditor" \
        "DO \$\$ BEGIN FOR i IN 1..50 LOOP EXECUTE format('CREATE ROLE weak_%s LOGIN PASSWORD ''weak_%s''', i, i); END LOOP; END \$\$"
    run >/dev/null
    before=$(fleet_stored)
    sql "DO \$\$ BEGIN FOR i IN 1..$SERVERS LOOP
             EXECUTE format('CREATE SERVER s%s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host ''127.0.0.1'', port ''$port'', dbname ''postgres'')', i);
             EXECUTE format('CREATE USER MAPPING FOR postgres SERVER s%s OPTIONS (user ''fleet_auditor'', password ''bench'')', i);
         END LOOP; END \$\$" "INSERT INTO scram.fleet_server (name) SELECT 's' || i FROM generate_series(1, $SERVERS) i"
    refreshed=$(seconds "SELECT count(*) FROM scram.fleet_refresh()")
    again=$(seconds "SELECT count(*) FROM scram.fleet_refresh()")
    echo "## A fleet"
    echo
    echo "| servers | findings of each | first refresh | second refresh | peak memory | bytes of a server | report as text | as html |"
    echo "|---|---|---|---|---|---|---|---|"
    local findings text html
    findings=$(query "SELECT count(*) / $SERVERS FROM scram.fleet_findings")
    text=$(seconds "SELECT length(scram.fleet_report())")
    html=$(seconds "SELECT length(scram.fleet_report('html'))")
    echo "| $SERVERS | $findings | $refreshed | $again | $((($(fleet_stored) - before) / SERVERS)) | ${text% *} | ${html% *} |" | row
    query "SELECT count(*) || ' of them have an answer' FROM scram.fleet_server WHERE last_seen IS NOT NULL"
}

# "seconds peak": of two such fields in a row only the last peak is kept, as a column after the seconds.
row() {
    sed -E 's/\| ([0-9.]+) ([0-9]+) \| ([0-9.]+) ([0-9]+) \|/| \1 s | \3 s | \4 MB |/; s/\| ([0-9]+\.[0-9]+) \|/| \1 s |/g; s/\| ([0-9]+\.[0-9]+) \|/| \1 s |/g'
}

# A run that tries no password, because the stored counts are above the limit.
run() {
    seconds "SET client_min_messages = warning; SET scram.max_iterations = 4095; CALL scram.run_audit(budget => '1 h')"
}

# Forgets what runs have stored.
clear() {
    sql "TRUNCATE scram_internal.source_state, scram_internal.source_slice, scram_internal.slice_finding,
         scram_internal.slice_kind, scram_internal.stored_secret, scram_internal.role_secret, scram_internal.known_role,
         scram_internal.guess_hit, scram.audit_finding"
}

stored() {
    query "SELECT sum(pg_total_relation_size(oid)) FROM pg_class
           WHERE relnamespace IN ('scram_internal'::regnamespace, 'scram'::regnamespace) AND relkind = 'r'"
}

fleet_stored() {
    query "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'fleet\\_%' AND relkind = 'r'"
}

# Seconds, and the peak memory of the session in MB.
seconds() {
    query "LOAD 'scram_ext'" "CREATE TEMP TABLE t AS SELECT clock_timestamp() AS t0" "$1" \
        "SELECT round(extract(epoch FROM clock_timestamp() - t0), 2) || ' ' ||
             substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\\s+(\\d+)')::int / 1024 FROM t" | tail -n 1
}

main
