#!/bin/bash
# The build of the Dockerfile: tools/image.sh VERSION FOLDER puts the files of the extension below FOLDER, at their
# places in Debian's and PGDG's packages.
set -euo pipefail
cd "$(dirname "$0")/.."

export PG=$1 PG_CONFIG=/usr/lib/postgresql/$1/bin/pg_config PGRX_HOME=$PWD/target/pgrx-image
cargo pgrx init "--pg$PG" "$PG_CONFIG" --no-run
tools/build.sh dist
mkdir -p "$2"
cp -r "target/package/pg$PG/." "$2"
