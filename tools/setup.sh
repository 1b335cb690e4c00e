#!/bin/bash
# Installs the packages and tools that the build and the tests need, and changes no installed ones.
# Quiet and quick if none is missing. Called by make, which sets PG, PG_CONFIG and PGRX_HOME.
set -euo pipefail

readonly CARGO_PGRX=0.18.1 # the same as `pgrx` in Cargo.toml: the two must be identical

main() {
    command -v cargo >/dev/null || stop "cargo is missing." \
        "Install Rust 1.95 or newer (https://rustup.rs), then run this again."
    packages
    cargo_pgrx
    pgrx_config
}

# Debian packages, only those that are missing. A server that dpkg does not know brings its own files.
packages() {
    local wanted=(
        libclang-dev  # bindgen reads the headers with it
        gcc libc6-dev # linker
        sudo          # `cargo pgrx test` starts its server as postgres with it, as root too
    )
    if [ "$PG_CONFIG" = "/usr/lib/postgresql/$PG/bin/pg_config" ]; then
        wanted+=(
            "postgresql-$PG"            # the server
            "postgresql-server-dev-$PG" # its headers
            "postgresql-$PG-cron"       # pg_cron, for the scheduled audit
        )
    elif [ "$PG_CONFIG" = "$(tools/postgres.sh pg_config "$PG")" ]; then
        tools/postgres.sh fetch "$PG"
    fi
    if ! command -v dpkg-query >/dev/null; then
        [ -x "$PG_CONFIG" ] && return
        stop "$PG_CONFIG is missing." \
            "Install PostgreSQL $PG with its headers, pg_cron and libclang, and run: make PG_CONFIG=/path/to/pg_config"
    fi
    # The user that runs the tests' servers when root calls them.
    [ "$(id -u)" -ne 0 ] || id postgres >/dev/null 2>&1 || wanted+=(postgresql-common)

    local package missing=()
    for package in "${wanted[@]}"; do
        installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] || tools/packages.sh "${missing[@]}"
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The copy on the PATH if it is the right one; else one of our own in target/tools, which make puts
# before it on the PATH: another project on this machine may need the version that is there.
cargo_pgrx() {
    [ "$(cargo pgrx --version 2>/dev/null)" = "cargo-pgrx $CARGO_PGRX" ] && return

    echo "Installing cargo-pgrx $CARGO_PGRX into target/tools (a few minutes)"
    # A debug build, because the tool runs for seconds only. Without its features it cannot download
    # PostgreSQL: the download needs OpenSSL's headers, and is not needed here.
    env -u CARGO_TARGET_DIR cargo install cargo-pgrx --version "=$CARGO_PGRX" --locked --quiet \
        --debug --no-default-features --root target/tools </dev/null ||
        stop "cargo-pgrx $CARGO_PGRX could not be installed." \
            "Try it by hand: cargo install cargo-pgrx --version =$CARGO_PGRX --locked"
}

# Write the file only if it must change, because cargo rebuilds the pgrx crates whenever it does.
pgrx_config() {
    [ -x "$PG_CONFIG" ] || stop "$PG_CONFIG is missing." \
        "Say where PostgreSQL $PG's pg_config is: make PG_CONFIG=/path/to/pg_config"
    local version
    version=$("$PG_CONFIG" --version)
    [[ $version =~ ^PostgreSQL\ ${PG}[^0-9] ]] || stop "$PG_CONFIG belongs to $version, not to PostgreSQL $PG." \
        "Give the one that fits, or PG alone without PG_CONFIG in the environment."
    grep -qsxF "pg$PG = \"$PG_CONFIG\"" "$PGRX_HOME/config.toml" && return
    local log
    log=$(mktemp)
    mkdir -p "$PGRX_HOME"
    cargo pgrx init "--pg$PG" "$PG_CONFIG" --no-run >"$log" 2>&1 </dev/null || {
        cat "$log" >&2
        stop "cargo pgrx init failed for $PG_CONFIG."
    }
    rm -f "$log"
}

# Prints the failure, then the remedy, and exits.
stop() {
    printf '\nmake: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '      %s\n' "$@" >&2
    exit 1
}

main
