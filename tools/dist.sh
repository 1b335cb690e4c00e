#!/bin/bash
# Makes the distribution for PGXN: target/dist/scram_ext-VERSION.zip with the committed sources and all crates that
# they need, so that it builds without a network. Called by make.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/shared.sh

version=$(version)
name=scram_ext-$version
folder=target/dist/$name

main() {
    command -v zip >/dev/null || tools/packages.sh zip
    check_meta
    rm -rf target/dist
    mkdir -p "$folder"
    git archive HEAD | tar -x -C "$folder"
    mkdir "$folder/.cargo"
    # Cargo also prints each crate there.
    (cd "$folder" && cargo vendor --locked --versioned-dirs vendor >.cargo/config.toml 2>../vendor.log) ||
        { tail -n 20 target/dist/vendor.log >&2; exit 1; }
    rm target/dist/vendor.log
    tools/prune_vendor.py "$folder"
    (cd target/dist && find "$name" -type f | LC_ALL=C sort | TZ=UTC zip -q -X -9 "$name.zip" -@)
    echo "target/dist/$name.zip: $(du -h "target/dist/$name.zip" | cut -f1)"
}

# The version stands in Cargo.toml and META.json. pgxn_meta has PGXN's schema of the latter.
check_meta() {
    grep -q "\"version\": \"$version\"," META.json || { echo "META.json has another version than Cargo.toml." >&2; exit 1; }
    [ -x target/tools/bin/pgxn_meta ] || env -u CARGO_TARGET_DIR cargo install pgxn_meta --version =0.7.0 --locked \
        --quiet --debug --root target/tools </dev/null
    target/tools/bin/pgxn_meta META.json
}

main
