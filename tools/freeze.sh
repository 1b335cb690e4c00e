#!/bin/bash
# Freezes the SQL of the version in Cargo.toml: sql/scram_ext--VERSION.sql is from then on the script that installs
# this version, and never changes; its checksum goes to sql/SHA256SUMS. Called by make at a release, which sets PG and
# PG_CONFIG. From then on a change of the SQL needs a new version and a script sql/scram_ext--OLD--NEW.sql.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/shared.sh

version=$(version)
script=scram_ext--$version.sql

[ ! -e "sql/$script" ] || { echo "sql/$script exists: a released script never changes." >&2; exit 1; }
[ -z "$(git status --porcelain)" ] || { echo "There are changes that are not committed." >&2; exit 1; }
tools/build.sh
cp "target/package/pg$PG$("$PG_CONFIG" --sharedir)/extension/$script" "sql/$script"
(cd sql && sha256sum "$script" >>SHA256SUMS)
echo "Commit sql/$script and sql/SHA256SUMS, then run the tests of the release. CONTRIBUTING.md has the steps."
