#!/bin/bash
# The #[pg_test]s, in a throwaway server of user postgres. Called by make, which sets PG.
#
#   tools/pgtest.sh [NAME]    all tests, or those with NAME in their name
#
# pgrx installs its test build over the installed extension: run `make install` afterwards to put the real one
# back, and never at the same time.
set -euo pipefail
source tools/shared.sh

data=$(mktemp -d /tmp/scram_ext_pgtest.XXXXXX)
trap 'as_root rm -rf "$data"' EXIT
as_root chown postgres "$data"

cargo pgrx test "pg$PG" "$@" --runas postgres --pgdata "$data" </dev/null
