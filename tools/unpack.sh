#!/bin/bash
# tools/unpack.sh PACKAGE PROGRAM FOLDER: takes /usr/bin/PROGRAM out of a package of Debian, without installing it,
# because the package would start a server. It is quick if the program is there.
set -euo pipefail

[ -x "$3/$2" ] && exit
echo "Unpacking $2"
mkdir -p "$3"
cd "$3"
apt-get download "$1" >log 2>&1 </dev/null || { cat log >&2; exit 1; }
dpkg-deb --fsys-tarfile "$1"_*.deb | tar -x --strip-components=3 "./usr/bin/$2"
rm "$1"_*.deb log
