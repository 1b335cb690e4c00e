#!/bin/bash
# Makes the Debian package target/deb/postgresql-N-scram-ext_VERSION-1_ARCH.deb for one major version, from a release
# build. Called by make, which sets PG and PG_CONFIG.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/shared.sh

readonly tree=target/package/pg$PG name=postgresql-$PG-scram-ext
version=$(version)
architecture=$(dpkg --print-architecture)
# The same input gives the same package.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH

main() {
    command -v dpkg-shlibdeps >/dev/null || tools/packages.sh dpkg-dev
    tools/build.sh dist
    root=target/deb/$name
    doc=$root/usr/share/doc/$name
    rm -rf "$root"
    umask 022
    mkdir -p "$root/DEBIAN" "$doc"
    extension
    documentation
    control
    (cd "$root" && find usr -type f -printf '%P\0' | LC_ALL=C sort -z | sed -z 's#^#usr/#' | xargs -0 md5sum >DEBIAN/md5sums)
    local package=target/deb/${name}_$version-1_$architecture.deb
    dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
    rm -rf "$root"
    echo "$package"
}

# At Debian's places, wherever the PostgreSQL of the build has its own.
extension() {
    install -D -m 644 "$tree$("$PG_CONFIG" --pkglibdir)/scram_ext.so" "$root/usr/lib/postgresql/$PG/lib/scram_ext.so"
    install -d "$root/usr/share/postgresql/$PG/extension"
    install -m 644 "$tree$("$PG_CONFIG" --sharedir)/extension"/scram_ext* "$root/usr/share/postgresql/$PG/extension"
}

documentation() {
    # In the same places as in the sources, because the pages link to each other and to the examples.
    # The changelog is there a second time, because lintian wants a compressed one and the links lead to this one.
    install -m 644 README.md SECURITY.md LICENSE CONTRIBUTING.md CHANGELOG.md "$doc"
    install -D -m 644 -t "$doc/data" data/wordlist.LICENSE
    install -D -m 644 -t "$doc/docs" docs/*.md
    install -D -m 644 -t "$doc/docs/decisions" docs/decisions/*.md
    find contrib -name target -prune -o -type f -exec install -D -m 644 {} "$doc/{}" \;
    {
        printf 'scram_ext %s\n\n' "$version"
        cat LICENSE
        printf '\n\nThe list of words of scram.load_wordlist():\n\n'
        cat data/wordlist.LICENSE
        printf '\n\nLicenses of the crates that the library contains: licenses.txt.gz\n'
    } >"$doc/copyright"
    tools/licenses.py | gzip -9n >"$doc/licenses.txt.gz"
    gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
    {
        printf '%s (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n' "$name" "$version"
        printf ' -- %s  %s\n' "$(maintainer)" "$(date -Rud "@$SOURCE_DATE_EPOCH")"
    } | gzip -9n >"$doc/changelog.Debian.gz"
}

control() {
    local libraries
    mkdir -p target/deb/shlibs/debian
    printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$name" "$name" >target/deb/shlibs/debian/control
    # Its warnings are shown only if it fails: they are about symbols that the server brings.
    libraries=$(cd target/deb/shlibs &&
        dpkg-shlibdeps -O -e"../$name/usr/lib/postgresql/$PG/lib/scram_ext.so" 2>log | sed 's/^shlibs:Depends=//') ||
        { cat target/deb/shlibs/log >&2; exit 1; }
    rm -r target/deb/shlibs
    cat >"$root/DEBIAN/control" <<CONTROL
Package: $name
Version: $version-1
Architecture: $architecture
Maintainer: $(maintainer)
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Depends: postgresql-$PG, $libraries
Suggests: postgresql-$PG-cron
Section: database
Priority: optional
Description: SCRAM password verifiers, handshakes and audits for PostgreSQL $PG
 SQL functions to generate, parse and verify SCRAM verifiers, to set and
 rotate the passwords of roles without writing one to a log, to
 authenticate users by the server's side of RFC 5802, and to audit the
 stored password hashes of a cluster, on a schedule with pg_cron.
 .
 Run CREATE EXTENSION scram_ext in each database that needs it.
CONTROL
}

maintainer() {
    sed -n 's/.*"maintainer": "\(.*\)".*/\1 <scram-ext@users.noreply.github.com>/p' META.json
}

main
