#!/bin/bash
# Measures the cost of the handshake on a throwaway server: the rates of one run, and whether the
# time tells known and unknown users apart. Called by make after `make install`. It prints figures
# and has no pass or fail.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/server.sh

# RFC 7677 section 3. The server's nonce is random here, so the final message is refused, after the
# same work as an accepted one but for the signature.
readonly FIRST='n,,n=user,r=rOprNGfwEbeRWgbNEkqO'
readonly VERIFIER='SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='
readonly SECONDS_EACH=${T:-5}

main() {
    trap server_stop EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    server_start scram_ext_bench "synchronous_commit = off" "max_wal_size = 4GB"
    sql "CREATE EXTENSION scram_ext"
    sql "CREATE ROLE login LOGIN PASSWORD 'login'"
    sql "CREATE ROLE locked NOLOGIN PASSWORD 'login'"

    printf 'processor: %s\n\n' "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)"
    rates
    echo
    distributions
}

rates() {
    script select <<<"SELECT 1;"
    script start <<<"SELECT server_first FROM scram.handshake_start('$FIRST', :v);"
    # The final message carries the nonce of the answer, so that all of it is checked.
    script exchange <<EOF
SELECT f.accepted
FROM scram.handshake_start('$FIRST', :v) AS s,
     scram.handshake_finish(s.state, 'c=biws,' || split_part(s.server_first, ',', 1)
         || ',p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', :v) AS f;
EOF
    printf '%-52s %10s\n' "one connection, one after the other" "per second"
    row "SELECT 1" "$(rate select)"
    row "handshake_start" "$(rate start)"
    row "handshake_start and handshake_finish" "$(rate exchange)"
    # Each login opens a connection and forks a backend: the cost of the same exchange on the
    # server's port.
    row "logins on the server's own port (scram-sha-256)" \
        "$(PGPASSWORD=login bench -h 127.0.0.1 -U login -C -f "$dir/select.sql" -T "$SECONDS_EACH")"
}

# 10,000 of each in random order on one connection; every latency is logged.
distributions() {
    # The same parameters are sent for both; what a look-up costs is the caller's.
    script known <<<"$(exchange_for "nullif(:v, '')")"
    script unknown <<<"$(exchange_for "nullif(:v, :v)")"
    script role <<<"$(role_for login)"
    script locked <<<"$(role_for locked)"
    script missing <<<"$(role_for missing)"
    printf '%-52s %10s %10s %10s\n' "latency of an exchange, microseconds" p10 median p90
    latencies known unknown
    latencies role locked missing
}

exchange_for() {
    echo "SELECT f.accepted FROM scram.handshake_start('$FIRST', $1) AS s,
        scram.handshake_finish(s.state, 'c=biws,' || split_part(s.server_first, ',', 1)
            || ',p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', $1) AS f;"
}

role_for() {
    echo "SELECT f.accepted FROM scram.role_handshake_start('$FIRST', '$1') AS s,
        scram.role_handshake_finish(s.state, 'c=biws,' || split_part(s.server_first, ',', 1)
            || ',p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=') AS f;"
}

latencies() {
    local scripts=() name number=0
    for name; do scripts+=(-f "$dir/$name.sql"); done
    rm -f "$dir"/pgbench_log*
    (cd "$dir" && bench -h "$dir" -U postgres -M prepared -D v="$VERIFIER" "${scripts[@]}" -t $((10000 * $#)) -l) >/dev/null
    for name; do
        awk -v number="$number" '$4 == number { print $3 }' "$dir"/pgbench_log* | sort -n |
            awk -v name="$name ($(awk -v n="$number" '$4 == n' "$dir"/pgbench_log* | wc -l) exchanges)" '
                { value[NR] = $1 }
                END { printf "%-52s %10d %10d %10d\n", name, value[int(NR * .1)], value[int(NR * .5)], value[int(NR * .9)] }'
        number=$((number + 1))
    done
}

rate() {
    bench -h "$dir" -U postgres -M prepared -D v="$VERIFIER" -f "$dir/$1.sql" -T "$SECONDS_EACH"
}

# pgbench's figure for transactions a second.
bench() {
    "$bin/pgbench" -n -p "$port" "$@" postgres 2>/dev/null | sed -n 's/^tps = \([0-9]*\).*/\1/p'
}

row() { printf '%-52s %10s\n' "$1" "$2"; }
script() { cat >"$dir/$1.sql"; }
sql() { "$bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -U postgres -d postgres -c "$1"; }

main
