#!/bin/bash
# Removes the files of `make install` from this machine's PostgreSQL, those of earlier versions too. Called by make, which
# sets PG and PG_CONFIG. Clusters are not looked at: docs/install.md says what to do in them before.
set -euo pipefail
source tools/shared.sh

main() {
    local lib share
    lib=$("$PG_CONFIG" --pkglibdir)
    share=$("$PG_CONFIG" --sharedir)/extension
    as_root rm -f "$lib/scram_ext.so" "$share/scram_ext.control" "$share"/scram_ext--*.sql
    echo "Removed scram_ext from $lib and $share"
    tell_if_fetched
}

main
