#!/bin/bash
# How fast candidate passwords are tried: the crates' benchmarks, then a throwaway server with the
# installed extension, then hashcat if there is one, on the same processor in one run. Prints one
# table of rates and ratios and judges nothing; with DOCS=1 it goes to docs/benchmarks.md too.
# Called by make after `make install`, which sets PG_CONFIG.
#
#   ROUNDS  measurements of each kind, of which the best counts: what else runs only slows down (3)
#   WORDS   length of the list that hashcat, match_any and run_audit get (200000)
#   ROLES   how many of them the checks that derive no keys are measured on (10000)
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/server.sh

readonly ROUNDS=${ROUNDS:-3} WORDS=${WORDS:-200000} ROLES=${ROLES:-10000}
readonly VERIFIER='SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='
cores=$(nproc)
criterion=${CARGO_TARGET_DIR:-target}/criterion

main() {
    trap clean EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    # Delete old results, so that none is taken for one of this run.
    rm -rf "$criterion"
    echo "The crates' benchmarks …" >&2
    cargo bench -q -p sha256-lanes --bench backends >&2
    cargo bench -q -p scram-core --bench search >&2

    echo "A server …" >&2
    # The functions' COST is high, as it must be: the planner would compile a query that has nothing
    # to gain from it, for some 20 ms.
    server_start scram_ext_bench "jit = off"
    prepare
    local round
    for round in $(seq "$ROUNDS"); do
        echo "Round $round of $ROUNDS …" >&2
        measure
    done
    scan
    stop

    if [ -n "${DOCS:-}" ]; then
        # The sections after the table are not of this run: they stay.
        local rest
        rest=$(sed -n '/^## /,$p' docs/benchmarks.md)
        { report && echo && printf '%s\n' "$rest"; } | tee docs/benchmarks.md
    else
        report
    fi
}

prepare() {
    sql "CREATE EXTENSION scram_ext" "CREATE ROLE login LOGIN" \
        "CREATE TABLE stored AS SELECT '$VERIFIER'::text AS v,
            (SELECT array_agg('candidate' || i) FROM generate_series(1, 1000) i) AS words" \
        "CREATE TABLE list AS SELECT '$VERIFIER'::text AS v,
            (SELECT array_agg('candidate' || i) FROM generate_series(1, $WORDS) i) AS words" \
        "CREATE ROLE audited LOGIN PASSWORD '$VERIFIER'" \
        "INSERT INTO scram.wordlist SELECT unnest(words) FROM list"
    printf '%s\n' "$VERIFIER" >"$dir/hash"
    seq -f 'candidate%.0f' "$WORDS" >"$dir/words"
    # The kernel is compiled once, and not while others are measured.
    if has_hashcat; then hashcat_rate all >/dev/null; fi
}

measure() {
    best raw_one "$(criterion "verify/raw loop" 1)"
    best verify "$(sql_rate 2000 "count(*) FILTER (WHERE scram.verify('candidate' || i, v))
        FROM stored, generate_series(1, 2000) i")"
    best generate "$(sql_rate 2000 "count(scram.generate('candidate' || i)) FROM generate_series(1, 2000) i")"
    best alter_role "$(alter_role_rate)"
    # A fraction of a second each, in turns.
    for _ in 1 2 3 4 5; do
        best match_1 "$(match_rate 1000 stored 1)"
        best match_2 "$(match_rate 1000 stored 2)"
    done
    best list "$(match_rate "$WORDS" list "$cores")"
    best audit "$(audit_rate)"
    if has_hashcat; then best hashcat "$(hashcat_rate all)"; fi
}

report() {
    local backend
    cat <<EOF
# Benchmarks

The table has candidate passwords a second, for SCRAM-SHA-256 with 4096 iterations, all from one run of \`make bench\`.
The crates' rates are medians; those of the server and of hashcat are the best of $ROUNDS rounds.
Rates differ between machines and with their load, so compare the ratios.

* Processor: $(processor)
* PostgreSQL $("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/'), $cores cores$(has_hashcat && echo ", hashcat $(hashcat --version | tr -d v)" || echo "; hashcat is not installed")

| measured | per second | compared with | ratio |
|---|---|---|---|
EOF
    rate[pbkdf2]=$(criterion "one password/pbkdf2 crate" 1)
    rate[portable]=$(criterion "16 passwords/portable" 16)
    row "the \`pbkdf2\` crate, one password" "${rate[pbkdf2]}"
    row "\`sha256-lanes\`, one password" "$(criterion "one password/mixed" 1)" pbkdf2 "the \`pbkdf2\` crate"
    row "\`sha256-lanes\`, portable" "${rate[portable]}" pbkdf2 "the \`pbkdf2\` crate"
    for backend in avx2 sha_ni sha_ni_avx2 avx512 sha_ni_avx512; do
        [ -d "$criterion/16 passwords/$backend" ] || continue
        rate[$backend]=$(criterion "16 passwords/$backend" 16)
        row "\`sha256-lanes\`, $backend, 16 passwords" "${rate[$backend]}" pbkdf2 "the \`pbkdf2\` crate"
    done
    rate[raw_all]=$(criterion "1000 candidates/raw loop" 1000)
    rate[search_1]=$(criterion "1000 candidates/search, 1 threads" 1000)
    row "search, 1,000 candidates, one thread" "${rate[search_1]}" raw_all "the engine itself"
    row "search, 1,000 candidates, two threads" "$(criterion "1000 candidates/search, 2 threads" 1000)" search_1 "one thread"
    rate[each]=$(criterion "40 verifiers, 25 candidates each/a search for each, 1 threads" 1000)
    rate[each_2]=$(criterion "40 verifiers, 25 candidates each/a search for each, 2 threads" 1000)
    rate[shared]=$(criterion "40 verifiers, 25 candidates each/one search, 1 threads" 1000)
    row "search, 25 candidates for each of 40 verifiers, one thread" "${rate[shared]}" each "a search for each verifier"
    row "search, 25 candidates for each of 40 verifiers, two threads" "$(criterion "40 verifiers, 25 candidates each/one search, 2 threads" 1000)" each_2 "a search for each verifier"
    row "MD5, 1,000,000 candidates, one thread" "$(criterion "1000000 candidates/md5" 1000000)"
    row "server: \`ALTER ROLE … PASSWORD\`" "${rate[alter_role]}"
    row "server: \`scram.verify\`" "${rate[verify]}" alter_role "\`ALTER ROLE … PASSWORD\`"
    row "server: \`scram.verify\`" "${rate[verify]}" raw_one "the raw one-stream loop"
    row "server: \`scram.generate\`" "${rate[generate]}" alter_role "\`ALTER ROLE … PASSWORD\`"
    row "server: \`scram.match_any\`, 1,000 candidates, one thread" "${rate[match_1]}" raw_all "the engine itself"
    row "server: \`scram.match_any\`, 1,000 candidates, two threads" "${rate[match_2]}" match_1 "one thread"
    if has_hashcat; then
        row "hashcat -m 28600, $WORDS candidates, $cores cores" "${rate[hashcat]}"
        row "server: \`scram.match_any\`, the same list, $cores threads" "${rate[list]}" hashcat hashcat
        row "server: \`scram.run_audit\`, the same list as \`scram.wordlist\`, $cores threads" "${rate[audit]}" hashcat hashcat
    else
        row "server: \`scram.match_any\`, $WORDS candidates, $cores threads" "${rate[list]}"
        row "server: \`scram.run_audit\`, the same list as \`scram.wordlist\`, $cores threads" "${rate[audit]}"
    fi
    cat <<EOF

The rate of \`scram.run_audit\` is that of a whole run on one role, with its first step, the numbers for the words, and every commit.

The checks that derive no keys take $(awk -v r="${rate[scan]}" 'BEGIN { printf "%.1f", 1e6 / r }') µs a role at $ROLES roles, on one thread: \`scram_internal.scan_source\`, part of a step of a run.

A statement with 2,000,000,000 iterations ends $late ms after its \`statement_timeout\`: the longest of 20 times each with \`verify\`, \`match_any\` and \`generate\` of SCRAM-SHA-512.
EOF
}

declare -A rate

# Keeps the higher one.
best() {
    rate[$1]=$(awk -v a="${rate[$1]:-0}" -v b="$2" 'BEGIN { print (b > a) ? b : a }')
}

# row WHAT RATE [KEY-OF-OTHER OTHER]
row() {
    awk -v what="$1" -v rate="$2" -v other="${rate[${3:-none}]:-}" -v name="${4:-}" 'BEGIN {
        printf "| %s | %.0f | %s | %s |\n", what, rate, name, (other > 0) ? sprintf("%.2f", rate / other) : ""
    }'
}

# Elements a second, from the median that criterion has written.
criterion() {
    sed -n 's/.*"median":{"confidence_interval":{[^}]*},"point_estimate":\([0-9.e+]*\).*/\1/p' \
        "$criterion/$1/new/estimates.json" | awk -v n="$2" '{ print n * 1e9 / $1 }'
}

# Calls a second of a query that makes so many.
sql_rate() {
    query "CREATE TEMP TABLE t AS SELECT clock_timestamp() AS t0" "SELECT $2" \
        "SELECT $1 / extract(epoch FROM clock_timestamp() - t0) FROM t" | tail -n 1
}

match_rate() {
    query "LOAD 'scram_ext'" "SET scram.search_threads = $3" \
        "CREATE TEMP TABLE t AS SELECT clock_timestamp() AS t0" \
        "SELECT scram.match_any(v, words) FROM $2" \
        "SELECT $1 / extract(epoch FROM clock_timestamp() - t0) FROM t" | tail -n 1
}

# The rate of a whole run by its own clock. It starts without the state of earlier runs.
audit_rate() {
    query "LOAD 'scram_ext'" "SET scram.search_threads = $cores" \
        "TRUNCATE scram_internal.source_state, scram_internal.source_slice, scram_internal.slice_finding,
             scram_internal.slice_kind, scram_internal.stored_secret, scram_internal.candidate" \
        "CALL scram.run_audit(budget => '1 day')" \
        "SELECT candidates_tested / extract(epoch FROM finished_at - started_at) FROM scram.audit_run
         WHERE candidates_tested > $WORDS ORDER BY run_id DESC LIMIT 1" | tail -n 1
}

# Roles a second that the checks look at which derive no keys.
scan() {
    sql "DO \$\$ BEGIN FOR i IN 1..$ROLES LOOP EXECUTE format('CREATE ROLE r%s LOGIN', i); END LOOP; END \$\$" \
        "UPDATE pg_authid SET rolpassword = 'SCRAM-SHA-256\$4096:' || encode(substr(sha256((rolname || 's')::bytea), 1, 16), 'base64')
             || '\$' || encode(sha256((rolname || 'k')::bytea), 'base64') || ':' || encode(sha256((rolname || 'v')::bytea), 'base64')
         WHERE rolname ~ '^r[0-9]'"
    for _ in 1 2 3 4 5; do
        best scan "$(query "CREATE TEMP TABLE t AS SELECT clock_timestamp() AS t0" \
            "SELECT count(*) FROM scram_internal.scan_source('role', false, NULL)" \
            "SELECT $ROLES / extract(epoch FROM clock_timestamp() - t0) FROM t" | tail -n 1)"
    done
}

# The longest time in milliseconds from the timeout of a statement to its end. A cancel takes the same way.
stop() {
    local call huge=${VERIFIER/4096/2000000000}
    late=$(for call in "verify('pencil', '$huge')" "match_any('$huge', '{a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q}')" \
        "generate('pencil', 2000000000, mechanism => 'SCRAM-SHA-512')"; do
        for _ in {1..20}; do
            query "LOAD 'scram_ext'" "SET scram.max_iterations = 2147483647" "SET statement_timeout = '200ms'" \
                "DO \$\$ BEGIN PERFORM scram.$call; EXCEPTION WHEN query_canceled THEN
                     PERFORM set_config('bench.late', (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000 - 200)::text, false);
                 END \$\$" "SELECT current_setting('bench.late')" | tail -n 1
        done
    done | sort -n | tail -n 1 | awk '{ printf "%.0f", $1 }')
}

# The rate of the server's own derivation, in one transaction that is rolled back.
alter_role_rate() {
    query "BEGIN" "CREATE TEMP TABLE t AS SELECT clock_timestamp() AS t0" \
        "DO \$\$ BEGIN FOR i IN 1..300 LOOP
             EXECUTE 'ALTER ROLE login PASSWORD ''candidate' || i || '''';
         END LOOP; END \$\$" \
        "SELECT 300 / extract(epoch FROM clock_timestamp() - t0) FROM t" "ROLLBACK" | tail -n 1
}

has_hashcat() { command -v hashcat >/dev/null; }

# Its own figure for the whole list, without start-up.
hashcat_rate() {
    # Exit status 1 means that hashcat tried the whole list without a match.
    hashcat -m 28600 -a 0 -D 1 --force --potfile-disable --logfile-disable --session "scram_ext_$$" \
        -w 3 --quiet --status --status-timer 1 --machine-readable \
        "$dir/hash" "$dir/words" 2>/dev/null >"$dir/hashcat" || [ $? -eq 1 ]
    # STATUS 3 SPEED per-device-rate milliseconds … EXEC_RUNTIME …
    awk -F '\t' '{ for (i = 1; i < NF; i++) if ($i == "SPEED" && $(i + 2) > 0) { r = $(i + 1) * 1000 / $(i + 2); if (r > best) best = r } }
        END { print best + 0 }' "$dir/hashcat"
}

processor() {
    local flag flags=
    for flag in sha_ni avx2 avx512f; do
        grep -qw "$flag" /proc/cpuinfo && flags+=", $flag"
    done
    echo "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)$flags"
}

clean() { server_stop; }

main
