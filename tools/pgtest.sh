#!/bin/bash
# The #[pg_test]s, in a throwaway server of user postgres. Called by make, which sets PG.
#
# pgrx installs its test build over the installed extension: whoever needs the real one runs
# `make install` afterwards, and never side by side with this.
set -euo pipefail

data=$(mktemp -d /tmp/scram_ext_pgtest.XXXXXX)
trap 'sudo rm -rf "$data"' EXIT
sudo chown postgres "$data"

cargo pgrx test "pg$PG" --runas postgres --pgdata "$data" </dev/null
