#!/bin/bash
# A cluster with the extension goes from version to version, each with the extension installed. Called by make.
#
#   tools/upgradetest.sh pg_upgrade 15 17
#   tools/upgradetest.sh pg_dump 15 18      with pg_restore, and pg_dumpall for the roles
#
# A cluster of the first version gets runs, findings, an acceptance, a source, a password history and a rotation. After
# each step all of it must be there, and the next run must find nothing new.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/server.sh

# What must be the same afterwards, as queries of one value each. Row types are members since 16.
readonly kept=(
    "SELECT string_agg(format('%s', (run_id, status, started_at, findings_new)), ' ' ORDER BY run_id) FROM scram.audit_run WHERE run_id <= 2"
    "SELECT string_agg(format('%s', (finding_id, source, subject, check_id, first_run, accepted_until, note)), ' ' ORDER BY finding_id) FROM scram.audit_finding WHERE first_run <= 2 AND source <> 'server'"
    "SELECT string_agg(format('%s', (name, registrant)), ' ' ORDER BY name) FROM scram.audit_source"
    "SELECT count(*) FROM scram.wordlist"
    "SELECT string_agg(format('%s', (name, role_a, role_b)), ' ') FROM scram.rotation"
    "SELECT count(*) FROM scram_internal.password_history"
    "SELECT scram.verify_role('ann', 'Xq8-first')"
    "SELECT string_agg(setconfig::text, ' ') FROM pg_db_role_setting"
    "SELECT string_agg(pg_describe_object(classid, objid, objsubid), ' ' ORDER BY 1) FROM (SELECT classid, objid, objsubid, pg_describe_object(classid, objid, objsubid) FROM pg_depend JOIN pg_extension e ON refobjid = e.oid WHERE extname = 'scram_ext' AND deptype = 'e' AND classid <> 'pg_type'::regclass ORDER BY 4) AS m"
)

main() {
    trap 'server_stop' EXIT
    trap 'exit 130' INT TERM
    readonly way=$1
    local version
    PG_CONFIG=$(tools/postgres.sh pg_config "$2")
    server_start scram_ext_upgrade
    seed
    local before after
    before=$(values)
    shift 2
    for version in "$@"; do
        move_to "$version"
        after=$(values)
        diff <(echo "$before") <(echo "$after") || fail "$way to $version has lost or changed something"
        query "CALL scram.run_audit()" >/dev/null
        # The digests depend on a secret of the old cluster: guesses begin again without an error.
        local run
        run=$(query "SELECT status, findings_new, candidates_tested > 0 FROM scram.audit_run ORDER BY run_id DESC LIMIT 1")
        [ "$run" = 'done|0|t' ] || {
            query "SELECT source, subject, check_id, evidence FROM scram.audit_finding
                WHERE first_run = (SELECT max(run_id) FROM scram.audit_run)" >&2
            fail "the run after $way to $version: $run"
        }
        [ "$(query "SELECT count(*) > 0 FROM scram.audit_finding WHERE status = 'accepted'")" = t ] || fail 'no acceptance'
        echo "upgradetest: everything is kept after $way to $version"
    done
}

seed() {
    sql "CREATE EXTENSION scram_ext" \
        "CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN PASSWORD 'bob'; CREATE ROLE app; CREATE ROLE app_a LOGIN; CREATE ROLE app_b LOGIN; GRANT app TO app_a, app_b" \
        "ALTER ROLE ann SET scram.search_threads = 1" \
        "CREATE TABLE account (name text, secret text); INSERT INTO account VALUES ('cid', 'plain'), ('dot', 'SCRAM-SHA-256')" \
        "SELECT scram.add_audit_source('app', 'account', 'name', 'secret')" \
        "SELECT scram.load_wordlist()" \
        "SET scram.password_history = 3; SELECT scram.set_role_password('ann', 'Xq8-zeroth'); SELECT scram.set_role_password('ann', 'Xq8-first')" \
        "SELECT scram.create_rotation('pair', 'app', 'app_a', 'app_b')" \
        "CALL scram.run_audit()" \
        "SELECT scram.accept_finding(finding_id, '2100-01-01', 'known') FROM scram.audit_finding WHERE subject = 'bob'" \
        "CALL scram.run_audit()"
}

values() {
    local sql
    for sql in "${kept[@]}"; do
        # The password history is not in a dump.
        [[ $way = pg_dump && $sql = *password_history* ]] || query "SET TimeZone = 'UTC'" "$sql"
    done
}

# Ends with a server of this version in place of the present one.
move_to() {
    local old_bin=$bin new=$dir/new$1 options=(--locale=C.UTF-8)
    [ "$way" = pg_upgrade ] || dump "$1"
    as_server "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null
    PG_CONFIG=$(tools/postgres.sh pg_config "$1")
    bin=$("$PG_CONFIG" --bindir)
    # 18 makes checksums unless it is told not to.
    [ "$1" -lt 18 ] || options+=(--no-data-checksums)
    as_server "$bin/initdb" -D "$new" -U postgres -E UTF8 "${options[@]}" --no-sync --auth-local=trust \
        --auth-host=scram-sha-256 >"$dir/initdb.log"
    if [ "$way" = pg_upgrade ]; then
        # Roles with weak passwords come along all the same.
        printf '%s\n' "shared_preload_libraries = 'scram_ext'" 'scram.guard = enforce' >>"$new/postgresql.conf"
        upgrade "$1"
    fi
    # Both ways leave configuration files to the administrator.
    as_server cp "$dir/data/pg_hba.conf" "$new/pg_hba.conf"
    {
        echo "listen_addresses = '127.0.0.1'"
        echo "unix_socket_directories = '$dir'"
        echo 'fsync = off'
    } >>"$new/postgresql.conf"
    as_server rm -rf "$dir/data"
    as_server mv "$new" "$dir/data"
    as_server "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -o "-p $port" start >"$dir/pg_ctl.log" || { cat "$dir/log" >&2; fail start; }
    [ "$way" = pg_upgrade ] || restore
}

upgrade() {
    as_server mkdir "$dir/work$1"
    (cd / && as_server bash -c 'cd "$1" && shift && exec "$@"' - "$dir/work$1" "$bin/pg_upgrade" -U postgres \
        -b "$old_bin" -B "$bin" -d "$dir/data" -D "$new" --socketdir "$dir/work$1" >"$dir/pg_upgrade.log" 2>&1) || {
        tail -n 20 "$dir/pg_upgrade.log" >&2
        grep -h -B 2 -A 8 -e "ERROR: " -e "error: " "$new"/pg_upgrade_output.d/*/log/*.log >&2 || true
        fail "pg_upgrade to $1"
    }
}

# By the programs of the new version, as PostgreSQL's documentation advises.
dump() {
    local new_bin
    new_bin=$("$(tools/postgres.sh pg_config "$1")" --bindir)
    "$new_bin/pg_dumpall" -h "$dir" -p "$port" -U postgres --globals-only | grep -v '^CREATE ROLE postgres;$' >"$dir/globals.sql"
    "$new_bin/pg_dump" -h "$dir" -p "$port" -U postgres -Fc -f "$dir/postgres.dump" postgres
}

# 18.6 does not know an option of columns that 15.20 and 17.12 write.
restore() {
    psql -f "$dir/globals.sql" >/dev/null
    "$bin/pg_restore" -f - "$dir/postgres.dump" | sed '/ SET (pg_attver=[0-9]*);$/d' | psql >/dev/null
}

fail() {
    echo "upgradetest: $*" >&2
    exit 1
}

main "$@"
