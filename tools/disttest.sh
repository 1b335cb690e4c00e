#!/bin/bash
# Tests the distribution of `make dist`: unpacks it into an empty folder, and builds, installs and tests it there
# without a network. Called by make as root, with PG and PG_CONFIG set; cargo-pgrx is on the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

archive=$(realpath target/dist/scram_ext-*.zip)
folder=$(mktemp -d /tmp/scram_ext_dist.XXXXXX)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder" # the server's user reads the tests' files
python3 -m zipfile -e "$archive" "$folder"
cd "$folder"/*/
chmod +x tools/*.sh tools/*.py

# A network of its own, with the loopback alone.
env -u PGRX_HOME -u CARGO_TARGET_DIR unshare --net bash -eu -c '
    ip link set lo up
    export CARGO_NET_OFFLINE=true
    make --no-print-directory all install
    tools/clienttest.sh "catalog handshake audit"
'
echo "disttest: built, installed and tested $(basename "$archive") without a network"
