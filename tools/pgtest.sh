#!/bin/bash
# The #[pg_test]s, in a throwaway server of user postgres. Called by make, which sets PG.
#
# pgrx installs its test build over the installed extension: whoever needs the real one runs
# `make install` afterwards, and never side by side with this.
set -euo pipefail

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

data=$(mktemp -d /tmp/scram_ext_pgtest.XXXXXX)
trap 'as_root rm -rf "$data"' EXIT
as_root chown postgres "$data"

cargo pgrx test "pg$PG" --runas postgres --pgdata "$data" </dev/null
