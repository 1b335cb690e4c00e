# shellcheck shell=bash
# What several scripts need: sourced.

# Runs a command as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Says so if the server is a fetched one, because a reader would otherwise look for the files in a server of the system.
tell_if_fetched() {
    [ "$PG_CONFIG" != "/usr/lib/postgresql/$PG/bin/pg_config" ] || return 0
    [ "$PG_CONFIG" != "$(tools/postgres.sh pg_config "$PG")" ] ||
        echo "This is the PostgreSQL $PG that was fetched for tests, not a server of this system."
}

# Prints the version of the extension.
version() {
    sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1
}
