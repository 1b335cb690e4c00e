# shellcheck shell=bash
# What several scripts need: sourced.

# Runs a command as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Prints the version of the extension.
version() {
    sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1
}
