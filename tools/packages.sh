#!/bin/bash
# Installs the Debian packages named as arguments. If it cannot, it says how to install them by
# hand.
set -euo pipefail

# Wait for another apt process to release the lock, because a new machine updates itself.
readonly options=(-o DPkg::Lock::Timeout=600)

main() {
    command -v apt-get >/dev/null || stop "$@"
    echo "Installing $*"
    local log
    log=$(mktemp)
    if ! { as_root apt-get "${options[@]}" update && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get "${options[@]}" install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        stop "$@"
    fi
    rm -f "$log"
}

stop() {
    printf '%s\n' "These packages could not be installed: $*" \
        "Install them by hand (apt-get install $*), then run this again." \
        "PostgreSQL majors that Debian doesn't have come from https://apt.postgresql.org." >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "neither root nor sudo" >&2
        return 1
    fi
}

main "$@"
