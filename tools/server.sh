# shellcheck shell=bash
# A throwaway PostgreSQL server for a script: sourced, then server_start and server_stop.
# The caller sets PG_CONFIG; server_start sets:
#
#   dir   everything the server has: data, socket, log (server_stop removes it)
#   port  a free TCP port on 127.0.0.1, where scram-sha-256 is asked for (the socket trusts)
#   bin   the folder of PostgreSQL's programs

# server_start NAME [LINE…]: the lines go to postgresql.conf, @dir@ in them is the folder.
server_start() {
    bin=$("$PG_CONFIG" --bindir)
    dir=$(mktemp -d "/tmp/$1.XXXXXX")
    shift
    chmod 755 "$dir" # every user may use the socket
    # The server refuses to run as root.
    [ "$(id -u)" -ne 0 ] || chown postgres "$dir"
    as_server "$bin/initdb" -D "$dir/data" -U postgres -E UTF8 --locale=C.UTF-8 --no-sync \
        --auth-local=trust --auth-host=scram-sha-256 >"$dir/initdb.log"

    local line
    for line in "listen_addresses = '127.0.0.1'" "unix_socket_directories = '@dir@'" "fsync = off" "$@"; do
        echo "${line//@dir@/$dir}"
    done >>"$dir/data/postgresql.conf"

    local try
    for try in 1 2 3; do
        port=$(free_port)
        if as_server "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -o "-p $port" start >"$dir/pg_ctl.log"; then
            return
        fi
        # Another process may have taken the port meanwhile.
        grep -q 'could not bind' "$dir/log" || break
    done
    echo "The server did not start ($try tries):" >&2
    cat "$dir/log" >&2
    return 1
}

# Works too if the start failed or was never tried.
server_stop() {
    [ -n "${dir:-}" ] || return 0
    [ ! -f "$dir/data/postmaster.pid" ] ||
        as_server "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null || true
    rm -rf "$dir"
}

# Statements, each an argument, in one session of the superuser: query prints the rows, sql nothing.
query() { printf '%s;\n' "$@" | psql -At; }
sql() { printf '%s;\n' "$@" | psql >/dev/null; }
psql() { "$bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -U postgres -d postgres "$@"; }

# Runs a program as the server's operating-system user, in a clean environment: RUST_BACKTRACE would
# put a backtrace into errors, PGHOST and the like would lead elsewhere.
as_server() {
    local user=()
    [ "$(id -u)" -ne 0 ] || user=(setpriv --reuid postgres --regid postgres --init-groups)
    (cd / && exec env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 "${user[@]}" "$@")
}

# Below the range that the kernel gives to outgoing connections.
free_port() {
    local candidate
    while :; do
        candidate=$((RANDOM % 10000 + 20000))
        # The port is free if the connection is refused.
        (: <"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || break
    done
    echo "$candidate"
}
