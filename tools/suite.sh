#!/bin/bash
# Takes packages of another Debian release than this system's, with the mirror and the keys of this system's apt, and
# without running their scripts or installing anything.
#
#   tools/suite.sh RELEASE FOLDER HOW PACKAGE…    unpacks below FOLDER what this call of apt-get downloads: `download`
#                                                 for the packages alone, or `install` with options
set -euo pipefail

readonly release=$1 root=$2 how=$3
readonly apt=$root/apt
shift 3

# Another system's mirror does not have them.
id=$(sed -n 's/^ID=//p' /etc/os-release 2>/dev/null | tr -d '"' || true)
if [ "$id" != debian ]; then
    printf '%s\n' "These packages of Debian's $release can be fetched on Debian only, and this system is ${id:-unknown}: $*" \
        "For another major version of PostgreSQL here, add https://apt.postgresql.org to apt, or give PG_CONFIG." >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
mkdir -p "$apt"/{lists,archives}/partial
touch "$apt/status"
# The mirror and the key of the first source that this system has, in either form of the files.
{ cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true; } | awk -v release="$release" '
    $1 == "URIs:" && !mirror { mirror = $2 }
    $1 == "Signed-By:" && !key { key = " [signed-by=" $2 "]" }
    $1 == "deb" && !mirror {
        if (match($0, /signed-by=[^] ]+/)) key = " [" substr($0, RSTART, RLENGTH) "]"
        sub(/\[[^]]*\]/, "")
        mirror = $2
    }
    END { print "deb" key, mirror, release, "main" }' >"$apt/sources.list"
options=(-o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status"
    -o "Dir::Cache::archives=$apt/archives" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o Dir::Etc::preferences=/dev/null
    -o Acquire::Languages=none -o APT::Sandbox::User=root -o Debug::NoLocking=1)
# shellcheck disable=SC2086
if ! { apt-get "${options[@]}" update &&
    (cd "$apt/archives" && apt-get "${options[@]}" -y $how "$@"); } >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    echo "These packages of Debian's $release could not be fetched: $*" >&2
    exit 1
fi
for package in "$apt"/archives/*.deb; do
    dpkg-deb -x "$package" "$root"
    rm "$package"
done
