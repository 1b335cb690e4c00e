#!/bin/bash
# Patroni with three nodes and etcd on this machine: handshakes, audits and scheduled runs across switch-overs, with a
# table of what was seen. Called by make, which sets PG and PG_CONFIG.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly wanted=$PWD/pgrx-tests/ha/requirements.txt target=$PWD/target/ha
dir=''
child=''

main() {
    mkdir -p "$target"
    cmp -s "$wanted" "$target/python.made" || python
    tools/unpack.sh etcd-server etcd "$target"
    trap 'stop' EXIT
    trap 'exit 130' INT TERM
    dir=$(mktemp -d /tmp/scram_ext_ha.XXXXXX)
    # Copied, because the server's user may not be able to read the checkout.
    cp -a "$target/python" "$target/etcd" "$dir"
    chmod 755 "$dir"
    # PostgreSQL and Patroni refuse to run as root.
    [ "$(id -u)" -ne 0 ] || chown postgres "$dir"
    "$dir/python/bin/python" -B pgrx-tests/ha/show.py "$dir" "$("$PG_CONFIG" --bindir)" "$("$PG_CONFIG" --sharedir)" &
    # Waited for, because a trap runs only after a command in the foreground has ended.
    child=$!
    local status=0
    wait "$child" || status=$?
    child=''
    return "$status"
}

python() {
    echo "Installing Patroni and psycopg"
    rm -rf "$target/python"
    # The system's, because the server's user may not be able to execute another one on the PATH.
    /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || tools/packages.sh python3-venv
    /usr/bin/python3 -m venv "$target/python"
    "$target/python/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" </dev/null
    cp "$wanted" "$target/python.made"
}

# show.py stops its servers when it ends.
stop() {
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || true
        wait "$child" || true
    fi
    [ -z "$dir" ] || rm -rf "$dir"
}

main
