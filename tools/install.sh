#!/bin/bash
# Makes a release build and copies its files into this machine's PostgreSQL, unless the same ones
# are there. Called by make, which sets PG and PG_CONFIG.
set -euo pipefail
source tools/shared.sh

readonly tree=target/package/pg$PG
lib=$("$PG_CONFIG" --pkglibdir)
share=$("$PG_CONFIG" --sharedir)/extension

main() {
    tools/build.sh
    if up_to_date; then
        echo "scram_ext is installed in $lib"
        tell_if_fetched
        return
    fi
    # Moved into place: a server that has the old library mapped keeps it.
    local files file target
    mapfile -d '' files < <(cd "$tree" && find . -type f -printf '%P\0')
    [ ${#files[@]} -gt 0 ] || { echo "$tree has no files to install." >&2; exit 1; }
    for file in "${files[@]}"; do
        target=/$file
        as_root install -m 644 "$tree/$file" "$target.new"
        as_root mv -f "$target.new" "$target"
    done
    echo "Installed scram_ext in $lib"
    tell_if_fetched
}

# The script of this version is not compared, because its order differs from run to run. It is generated from the
# library, which is compared.
up_to_date() {
    cmp -s "$tree$lib/scram_ext.so" "$lib/scram_ext.so" || return
    cmp -s "$tree$share/scram_ext.control" "$share/scram_ext.control" || return
    local script version
    version=$(version)
    for script in "$tree$share"/scram_ext--*.sql; do
        case ${script##*/} in
            "scram_ext--$version.sql") [ -f "$share/${script##*/}" ] ;;
            *) cmp -s "$script" "$share/${script##*/}" ;; # of a release, or between two
        esac || return
    done
}

main
