#!/bin/bash
# Takes programs out of packages of Debian, without installing them, because a package would start a server. It is
# quick if they are there.
#
#   tools/unpack.sh PACKAGE PROGRAM FOLDER          /usr/bin/PROGRAM alone, into the folder
#   tools/unpack.sh --whole FOLDER PACKAGE…         everything in these packages, below the folder
set -euo pipefail

main() {
    if [ "$1" = --whole ]; then
        shift
        whole "$@"
    else
        program "$@"
    fi
}

program() {
    [ -x "$3/$2" ] && return
    echo "Unpacking $2"
    mkdir -p "$3"
    cd "$3"
    # Moved into place, because an interrupted call leaves a part of the program, and the package.
    rm -f "$1"_*.deb
    download "$1"
    dpkg-deb --fsys-tarfile "$1"_*.deb | tar -x --to-stdout "./usr/bin/$2" >"$2.new"
    chmod 755 "$2.new"
    mv "$2.new" "$2"
    rm "$1"_*.deb
}

# The list of packages is kept in the folder: another one unpacks all of them again.
whole() {
    local folder=$1 package
    shift
    [ "$(cat "$folder/complete" 2>/dev/null)" != "$*" ] || return 0
    echo "Unpacking $(basename "$folder")"
    rm -rf "$folder"
    mkdir -p "$folder"
    cd "$folder"
    download "$@"
    for package in *.deb; do
        dpkg-deb -x "$package" .
        rm "$package"
    done
    echo "$*" >complete
}

download() {
    apt-get download "$@" >log 2>&1 </dev/null || { cat log >&2; exit 1; }
    rm log
}

main "$@"
