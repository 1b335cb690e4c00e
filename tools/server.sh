# shellcheck shell=bash
# A throwaway PostgreSQL server for a script: sourced, then server_start and server_stop.
# The caller sets PG_CONFIG; server_start sets:
#
#   dir   everything the server has: data, socket, log (server_stop removes it)
#   port  a free TCP port on 127.0.0.1
#   bin   the folder of PostgreSQL's programs

# server_start NAME [CONF_LINE…]
server_start() {
    bin=$("$PG_CONFIG" --bindir)
    dir=$(mktemp -d "/tmp/$1.XXXXXX")
    shift
    # The server refuses to run as root.
    [ "$(id -u)" -ne 0 ] || chown postgres "$dir"
    as_server "$bin/initdb" -D "$dir/data" -U postgres -E UTF8 --locale=C.UTF-8 -N \
        --auth-local=trust --auth-host=scram-sha-256 >"$dir/initdb.log"

    local line
    for line in "$@"; do
        echo "$line"
    done >>"$dir/data/postgresql.conf"

    local try
    for try in 1 2 3; do
        port=$(free_port)
        if as_server "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 \
            -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=off" \
            start >"$dir/pg_ctl.log"; then
            return
        fi
        # Another process may have taken the port meanwhile.
        grep -q 'could not bind' "$dir/log" || break
    done
    cat "$dir/log" >&2
    return 1
}

# Also right when the start failed, or never came.
server_stop() {
    [ -n "${dir:-}" ] || return 0
    [ ! -f "$dir/data/postmaster.pid" ] ||
        as_server "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null || true
    rm -rf "$dir"
}

# Runs a program as the server's operating-system user.
as_server() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && exec env -u RUST_BACKTRACE setpriv --reuid postgres --regid postgres --init-groups "$@")
    else
        (cd / && exec env -u RUST_BACKTRACE "$@")
    fi
}

# One from the range that the kernel doesn't give to outgoing connections.
free_port() {
    local candidate
    while :; do
        candidate=$((RANDOM % 10000 + 20000))
        # A refused connection means that nobody listens.
        (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || break
    done
    echo "$candidate"
}
