#!/bin/bash
# Shows the main job of the extension on a throwaway server, step by step, with psql's output.
# Called by make after `make install`. KEEP=1 leaves the server running.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/server.sh

readonly PASSWORD='correct horse battery staple'

main() {
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    echo
    echo "scram_ext: verifiers, logins, a handshake and an audit, on a server made for this demo."
    local cron=()
    ! has_cron || cron=("shared_preload_libraries = 'pg_cron'" "cron.database_name = 'postgres'" "cron.host = '@dir@'")
    server_start scram_ext_demo "${cron[@]}" \
        "session_preload_libraries = 'scram_ext'" "scram.search_threads = $(nproc)"
    echo "$("$bin/postgres" --version), user $(stat -c %U "$dir/data"), port $port of 127.0.0.1 with scram-sha-256"

    verifier
    login
    inspect
    handshake
    audit
    words
    stored_run
    again
    report

    heading "All of it worked"
    say "README.md and the pages in docs/ explain each function. \`make test\` runs every test."
}

verifier() {
    heading "1. Make a verifier in SQL, and a role with it"
    say "A verifier is what PostgreSQL stores instead of a password; CREATE ROLE takes one as it is."
    run "CREATE EXTENSION scram_ext;"
    run "CREATE TABLE account (name text PRIMARY KEY, verifier scram.verifier);"
    run "INSERT INTO account VALUES ('ann', scram.generate('$PASSWORD'))
  RETURNING verifier;"
    run "SELECT format('CREATE ROLE ann LOGIN PASSWORD %L', verifier) FROM account \\gexec"
    expect t "SELECT rolpassword = verifier FROM pg_authid, account WHERE rolname = name"
}

login() {
    heading "2. Log in with the password, for real"
    say "psql over TCP; the server asks for SCRAM."
    login_as "$PASSWORD" || fail "the right password was refused"
    printf '\n'
    say "And with a wrong one:"
    if login_as "wrong horse"; then fail "a wrong password was let in"; fi
}

inspect() {
    heading "3. Read a verifier, check a password against it"
    run "\\x on" "SELECT p.* FROM account, scram.parse(verifier) AS p;"
    run "SELECT scram.verify('$PASSWORD', verifier) AS right_password,
       scram.verify('wrong horse', verifier) AS wrong_password,
       scram.identify(verifier), scram.needs_rotation(verifier)
  FROM account;"
    expect "t f" "SELECT concat_ws(' ', scram.verify('$PASSWORD', verifier), scram.verify('wrong horse', verifier)) FROM account"
}

handshake() {
    heading "4. The four messages of a login"
    say "Both sides, played through the code that answers real clients. With the nonces of RFC 7677's" \
        "example the messages come out as printed there, to the byte."
    local query="FROM scram.handshake('pencil',
         scram.generate('pencil', 4096, decode('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')),
         client_nonce => 'rOprNGfwEbeRWgbNEkqO',
         server_nonce => '%hvYDpWUa2RaTCAfuxFIlj)hNlF\$k0')"
    run "SELECT sender, message
  $query;"
    expect "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" "SELECT message $query WHERE step = 4"
}

audit() {
    heading "5. Audit the stored passwords of a cluster"
    say "Fourteen roles, most of them as one finds them in old clusters:"
    seed
    run "SELECT rolname AS role, shobj_description(oid, 'pg_authid') AS story
  FROM pg_roles WHERE rolcanlogin AND rolname NOT IN ('postgres', 'ann') ORDER BY oid;"
    run "INSERT INTO scram.audit_policy (check_id, action) VALUES ('login_without_password', 'notice');"
    run "SELECT subject, check_id, severity, evidence FROM scram.audit()
  WHERE source = 'role' AND subject NOT IN ('postgres', 'ann')
  ORDER BY severity = 'notice', severity, check_id, subject;"
    local check
    for check in md5_hash scram_malformed scram_lax iterations_below_policy salt_shared verifier_shared \
        password_is_name login_without_password password_expired; do
        expect t "SELECT EXISTS (SELECT FROM scram.audit() WHERE check_id = '$check')"
    done
    printf '\n'
    say "What each check means and what to do about it stands in scram.audit_checks():"
    run "SELECT title, remedy FROM scram.audit_checks() WHERE check_id = 'md5_hash';"
}

seed() {
    local log
    log=$(cat pgrx-tests/src/fixtures/roles.sql - <<'SQL' | quiet -f -
CREATE FUNCTION pg_temp.make(role name, story text, verifier text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.make_role(role, verifier);
    EXECUTE format('COMMENT ON ROLE %I IS %L', role, story);
END $$;
SET scram.min_iterations = 1000;
SELECT pg_temp.make('web', 'a good one', scram.generate(pg_temp.password()));
SELECT pg_temp.make('etl', 'a good one, with more iterations', scram.generate(pg_temp.password(), 20000));
SELECT pg_temp.make('billing', 'never changed since PostgreSQL 9.6: md5', 'md5' || md5(pg_temp.password() || 'billing'));
SELECT pg_temp.make('backup', 'made with 1000 iterations', scram.generate(pg_temp.password(), 1000));
SELECT pg_temp.make('shop', 'its password is its name', scram.generate('shop'));
SELECT pg_temp.make('intern', 'its password is on every list', scram.generate('football'));
SELECT pg_temp.make('node_1', 'made from a template with node_2: same salt', scram.generate(pg_temp.password(), 4096, '\x00112233445566778899aabbccddeeff'));
SELECT pg_temp.make('node_2', 'made from a template with node_1: same salt', scram.generate(pg_temp.password(), 4096, '\x00112233445566778899aabbccddeeff'));
SELECT pg_temp.make('blue', 'a copy of green', scram.generate(pg_temp.password()));
SELECT pg_temp.make('green', 'a copy of blue', (SELECT rolpassword FROM pg_authid WHERE rolname = 'blue'));
SELECT pg_temp.make('import', 'its verifier was cut off', left(scram.generate(pg_temp.password()), 80));
SELECT pg_temp.make('import_2', 'the server reads its verifier, strict clients do not', replace(scram.generate(pg_temp.password()), '$4096:', '$ 4096:'));
SELECT pg_temp.make('reporting', 'may log in, has no password', NULL);
SELECT pg_temp.make('contractor', 'its password has expired', scram.generate(pg_temp.password()));
ALTER ROLE contractor VALID UNTIL '2024-06-30';
SQL
    ) || fail "$log"
}

words() {
    heading "6. The word list, and the passwords of an application"
    say "10,000 common passwords come with the extension; words of your own are INSERTed or COPYed."
    run "SELECT scram.load_wordlist();"
    run "INSERT INTO scram.wordlist VALUES ('Acme2026!');"
    printf '\n'
    say "A web shop keeps its customers' passwords in a table of its own, in what forms it came by:"
    local log
    log=$(quiet -f - <<'SQL'
CREATE TABLE customer (email text, password text);
INSERT INTO customer VALUES
    ('ann@example.org', scram.generate(gen_random_uuid()::text)),
    ('bob@example.org', scram.generate('Acme2026!', mechanism => 'SCRAM-SHA-512')),
    ('carl@example.org', 'md5' || md5(gen_random_uuid()::text || 'carl@example.org')),
    ('dora@example.org', '$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW'),
    ('eve@example.org', 'hunter2');
SQL
    ) || fail "$log"
    run "SELECT email, scram.identify(password) FROM customer;"
    run "SELECT scram.add_audit_source('webshop', 'customer', 'email', 'password');"
    run "SELECT subject, check_id, evidence FROM scram.audit() WHERE source = 'webshop';"
    expect 2 "SELECT count(*) FROM scram.audit() WHERE source = 'webshop'"
}

# The PostgreSQL 16 that tools/postgres.sh fetches has none.
has_cron() {
    [ -f "$("$PG_CONFIG" --pkglibdir)/pg_cron.so" ]
}

stored_run() {
    if has_cron; then
        heading "7. Let pg_cron audit, and look at the stored run"
        by_pg_cron
    else
        heading "7. Audit, and look at the stored run"
        say "This PostgreSQL has no pg_cron, so the demo calls the audit itself; every word is tried on every password:"
        run "CALL scram.run_audit();"
    fi
    run "SELECT run_id, status, finished_at - started_at AS took, subjects, candidates_tested, findings_open
  FROM scram.audit_run ORDER BY run_id LIMIT 1;"
    run "SELECT source, subject, evidence FROM scram.audit_finding WHERE check_id = 'password_in_wordlist';"
    expect "bob@example.org intern" "SELECT string_agg(subject, ' ' ORDER BY subject) FROM scram.audit_finding WHERE check_id = 'password_in_wordlist'"
    run "SELECT severity, count(*), string_agg(DISTINCT check_id, ', ') AS checks
  FROM scram.audit_finding WHERE status = 'open' GROUP BY severity ORDER BY severity;"
    ! has_cron || run "SELECT scram.unschedule_audit();"
    expect t "SELECT findings_open >= 12 FROM scram.audit_run ORDER BY run_id LIMIT 1"
}

by_pg_cron() {
    run "CREATE EXTENSION pg_cron;"
    run "SELECT scram.schedule_audit('* * * * *') AS job_id;"
    printf '\n  pg_cron starts jobs at full minutes; every word is tried on every password: '
    local waited=0
    until [ "$(quiet -c "SELECT count(*) FROM scram.audit_run r JOIN cron.job_run_details d ON d.status = 'succeeded'
                         WHERE r.status = 'done'")" != 0 ]; do
        [ "$waited" -lt 400 ] || fail "pg_cron has run no audit"
        sleep 1
        waited=$((waited + 1))
        printf .
    done
    printf '\n'
    run "SELECT command, status, date_trunc('second', start_time) AS started
  FROM cron.job_run_details ORDER BY runid LIMIT 1;"
}

again() {
    heading "8. Put something right, and audit again"
    run "ALTER ROLE billing PASSWORD 'another long one, by SCRAM';"
    run "DELETE FROM customer WHERE email LIKE 'eve@%';"
    run "CALL scram.run_audit();"
    run "SELECT run_id, finished_at - started_at AS took, candidates_tested, findings_new, findings_fixed
  FROM scram.audit_run ORDER BY run_id;"
    printf '\n'
    say "Only the new password was tried: what was tried before is not tried again. What has changed:"
    run "SELECT d.change, d.source, d.subject, d.check_id
  FROM (SELECT max(run_id) AS last FROM scram.audit_run) r, scram.audit_diff(r.last - 1, r.last) d;"
    expect t "SELECT candidates_tested BETWEEN 10001 AND 11000 FROM scram.audit_run ORDER BY run_id DESC LIMIT 1"
}

report() {
    heading "9. Read the report"
    local page=$PWD/target/audit.html
    say "As text, for psql and e-mail:"
    printf '\n'
    quiet -c "SELECT scram.audit_report()" | indent
    mkdir -p target
    quiet -c "SELECT scram.audit_report('html')" >"$page"
    expect t "SELECT scram.audit_report('html') LIKE '%</html>'"
    printf '\n'
    say "And as a page for the browser, with pictures and a table to sort and search:"
    printf '\n    %s%s%s\n' "$bold" "$page" "$plain"
}

# ---- how it looks --------------------------------------------------------------------------------

heading() {
    printf '\n%s%s%s\n' "$bold" "$1" "$plain"
    printf '%*s\n' "${#1}" '' | tr ' ' =
}

say() {
    echo "$*" | fold -s -w 96 | indent
}

indent() {
    sed -e 's/^/  /' -e 's/ *$//'
}

# Shows a statement after psql's prompt, then psql's answer. Arguments before the last one are
# settings of psql.
run() {
    local statement=${*: -1} settings=("${@:1:$#-1}")
    printf '\n'
    sed -e '1s/^/postgres=# /' -e '2,$s/^/postgres-# /' -e "s/.*/  $bold&$plain/" <<<"$statement"
    {
        printf '\\pset format wrapped\n\\pset columns 96\n\\pset footer off\n'
        [ ${#settings[@]} -eq 0 ] || printf '%s\n' "${settings[@]}"
        printf '%s\n' "$statement"
    } | superuser -q -f - | sed '/^$/d' | indent
}

# A real login over TCP, shown as one would type it.
login_as() {
    local query="SELECT session_user"
    printf "\n  %s\$ PGPASSWORD='%s' psql -h 127.0.0.1 -p %s -U ann -c '%s' postgres%s\n" \
        "$bold" "$1" "$port" "$query" "$plain"
    PGPASSWORD=$1 "$bin/psql" -Xqw -P footer=off -h 127.0.0.1 -p "$port" -U ann -c "$query" postgres 2>&1 |
        sed '/^$/d' | fold -s -w 96 | indent
}

# ---- psql ----------------------------------------------------------------------------------------

superuser() {
    "$bin/psql" -X -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -U postgres -d postgres "$@" 2>&1
}

quiet() {
    superuser -qAt "$@"
}

expect() {
    local found
    found=$(quiet -c "$2") || fail "$found"
    [ "$found" = "$1" ] || fail "expected $1, found $found: $2"
}

fail() {
    printf '\nThe demo failed: %s\n' "$*" >&2
    exit 1
}

finish() {
    local status=$?
    trap - EXIT INT TERM
    [ "$status" -eq 0 ] || printf '\nThe demo did not come to its end (status %s).\n' "$status" >&2
    if [ "${KEEP:-}" = 1 ] && [ "$status" -eq 0 ]; then
        local as=''
        [ "$(id -u)" -ne 0 ] || as='sudo -u postgres '
        printf '\n  The server is left running.\n'
        printf '    connect:          %s -h %s -p %s -U postgres postgres\n' "$bin/psql" "$dir" "$port"
        printf '    as ann:           %s -h 127.0.0.1 -p %s -U ann postgres   (%s)\n' "$bin/psql" "$port" "$PASSWORD"
        printf '    stop and remove:  %s%s -D %s stop && rm -rf %s\n' "$as" "$bin/pg_ctl" "$dir/data" "$dir"
    else
        server_stop
        [ -z "${dir:-}" ] || printf '\n  The server is stopped and removed.\n'
    fi
    exit "$status"
}

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGOPTIONS PGSERVICE PGPASSFILE
main
