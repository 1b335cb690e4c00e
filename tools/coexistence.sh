#!/bin/bash
# Installs the other extensions that Debian has for this version of PostgreSQL, and runs the test that loads all of
# them together. Called by make, which sets PG and PG_CONFIG.
set -euo pipefail
cd "$(dirname "$0")/.."

# Extensions and their packages: Debian 12 has fewer.
declare -A packages=([pg_cron]=cron [pg_partman]=partman [pgaudit]=pgaudit [set_user]=set-user)
[ "$PG" -le 15 ] || packages+=([credcheck]=credcheck [pg_hint_plan]=pg-hint-plan [postgis]=postgis-3
    [timescaledb]=timescaledb [vector]=pgvector)

main() {
    local name missing=()
    for name in "${!packages[@]}"; do
        [ -f "$("$PG_CONFIG" --sharedir)/extension/$name.control" ] || missing+=("postgresql-$PG-${packages[$name]}")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$PG_CONFIG" = "/usr/lib/postgresql/$PG/bin/pg_config" ]; then
            tools/packages.sh "${missing[@]}"
        else
            tools/postgres.sh add "$PG" "${missing[@]}"
            # The package's own script would make this link, but no script runs there.
            ln -sf postgis-3.control "$("$PG_CONFIG" --sharedir)/extension/postgis.control"
        fi
    fi
    COEXISTENCE=${!packages[*]} cargo test -p scram-ext-client-tests --test coexistence -- --nocapture
}

main
