#!/bin/bash
# The installed library on a CPU without SHA extensions, AVX2 and AVX-512, which QEMU plays: a server in single-user
# mode derives keys and tries passwords there. Called by make, which sets PG_CONFIG.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/server.sh

main() {
    command -v qemu-x86_64 >/dev/null || tools/packages.sh qemu-user
    trap server_stop EXIT
    trap 'exit 130' INT TERM
    server_start scram_ext_baseline
    sql 'CREATE EXTENSION scram_ext'
    as_server "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null

    # qemu64 is the oldest of its models: SSE3 and no more.
    local answers
    answers=$(as_server qemu-x86_64 -cpu qemu64 "$bin/postgres" --single -D "$dir/data" -c shared_buffers=1MB postgres 2>&1 <<'SQL'
SELECT 'RFC 7677: ' || scram.verify('pencil', 'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=') AS a;
SELECT 'found at ' || scram.match_any(scram.generate('pencil', 4096), (SELECT array_agg('w' || i ORDER BY i) FROM generate_series(1, 40) i) || '{pencil}') AS b;
SELECT 'others ' || scram.verify('x', scram.generate('x', 4096, mechanism => 'SCRAM-SHA-512')) || scram.verify('x', scram.generate('x', 4096, mechanism => 'SCRAM-SHA-1')) AS c;
SQL
    )
    local expected
    for expected in 'RFC 7677: true' 'found at 41' 'others truetrue'; do
        grep -qF "= \"$expected\"" <<<"$answers" || { echo "$answers" >&2; echo "baseline: no \"$expected\"" >&2; exit 1; }
    done
    echo "baseline: keys derived and a password found on a CPU without SHA extensions and AVX"
}

main
