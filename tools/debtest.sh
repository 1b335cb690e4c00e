#!/bin/bash
# Tests the package of `make deb`: lintian, then its installation in a chroot without Rust and without this project,
# an audit there, and its removal, after which nothing may be left. Called by make as root, with PG set.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/shared.sh

# Debian's release that has this version of PostgreSQL.
declare -rA releases=([15]=bookworm [17]=trixie [18]=forky)

main() {
    local version
    version=$(version)
    package=$(echo target/deb/postgresql-"$PG"-scram-ext_"$version"-*.deb)
    command -v lintian >/dev/null || tools/packages.sh lintian
    # A warning is printed; an error fails.
    lintian --fail-on error "$package"
    echo "lintian: no error"
    dpkg-deb --contents "$package" | awk '{ print $1, $3, $6 } / \.\/.*\/scram_ext\.so$/ && $3 > 5000000 { exit 1 }' ||
        { echo 'The library has more than 5 MB.' >&2; exit 1; }

    release=${releases[$PG]-}
    if [ -z "$release" ]; then
        echo "No release of Debian has PostgreSQL $PG: the package is not installed anywhere."
        return
    fi
    root=$PWD/target/chroot/$release
    [ -f "$root/complete" ] || bootstrap
    cp "$package" "$root/package.deb"
    in_chroot bash -eu -c "$(declare -f inside as_postgres files); inside $PG"
    rm "$root/package.deb"
}

# A minimal system with PostgreSQL. Its package makes no cluster, because nothing starts services in a chroot.
bootstrap() {
    echo "Making a chroot of Debian's $release with PostgreSQL $PG"
    command -v debootstrap >/dev/null || tools/packages.sh debootstrap
    rm -rf "$root"
    mkdir -p "$root"
    local mirror log=$root.log
    mirror=$({ cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true; } |
        awk '$1 == "URIs:" { print $2; exit } $1 == "deb" { sub(/\[[^]]*\]/, ""); print $2; exit }')
    # A release that this debootstrap does not know is made like the newest one.
    debootstrap --variant=minbase "$release" "$root" "$mirror" "$(script)" >"$log" 2>&1 || { tail "$log" >&2; exit 1; }
    cp /etc/resolv.conf "$root/etc/"
    mkdir -p "$root/etc/postgresql-common"
    echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"
    in_chroot apt-get install -y --no-install-recommends "postgresql-$PG" >"$log" 2>&1 || { tail "$log" >&2; exit 1; }
    in_chroot apt-get clean
    touch "$root/complete"
}

script() {
    local scripts=/usr/share/debootstrap/scripts
    if [ -e "$scripts/$release" ]; then echo "$scripts/$release"; else echo "$scripts/sid"; fi
}

# With its own /proc, and without the variables of the caller but those that lead to the network.
in_chroot() {
    unshare --mount --pid --fork bash -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$root" \
        env -u LD_LIBRARY_PATH PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}

# Runs in the chroot.
inside() {
    local bin=/usr/lib/postgresql/$1/bin before after
    ! command -v cargo rustc || return 1
    # What a test that failed has left in the chroot.
    dpkg --purge "postgresql-$1-scram-ext" 2>/dev/null
    rm -rf /tmp/data /tmp/log
    before=$(files)
    dpkg -i /package.deb
    as_postgres "$bin/initdb" -D /tmp/data --no-sync --auth=trust -E UTF8 >/dev/null
    as_postgres "$bin/pg_ctl" -D /tmp/data -o "-k /tmp -h ''" -l /tmp/log -w start >/dev/null
    as_postgres "$bin/psql" -XAt -v ON_ERROR_STOP=1 -h /tmp \
        -c 'SELECT version()' \
        -c 'CREATE EXTENSION scram_ext' \
        -c "CREATE ROLE shop LOGIN PASSWORD 'shop123'" \
        -c 'CALL scram.run_audit()' \
        -c "SELECT severity, check_id, subject FROM scram.audit_finding ORDER BY 1, 2, 3" \
        -c "SELECT 1 / (count(*) = 1)::int AS found FROM scram.audit_finding WHERE check_id = 'password_is_name'" \
        -c 'DROP EXTENSION scram_ext'
    as_postgres "$bin/pg_ctl" -D /tmp/data -m fast -w stop >/dev/null
    rm -r /tmp/data /tmp/log
    dpkg --remove "postgresql-$1-scram-ext"
    dpkg --purge "postgresql-$1-scram-ext"
    after=$(files)
    diff <(echo "$before") <(echo "$after") || { echo 'The package left something behind.' >&2; return 1; }
    echo "PostgreSQL $1: the package was installed, used and purged, and left nothing"
}

as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }

# All files, without those that dpkg writes about itself.
files() { find / -xdev -path /proc -prune -o -path '/var/lib/dpkg/*-old' -prune -o -path /var/log/dpkg.log -prune -o -print | sort; }

main
