#!/usr/bin/env python3
"""Prints the licences of the crates that the library contains, with the texts that the crates carry."""

import json
import subprocess
from pathlib import Path

NAMES = ("LICENSE", "LICENCE", "COPYING", "UNLICENSE", "NOTICE", "COPYRIGHT")


def main() -> None:
    def cargo(*arguments: str) -> str:
        command = ["cargo", *arguments, "--locked"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    # The crates that are linked, without those of the build and of the tests.
    linked = cargo("tree", "--package", "scram_ext", "--edges", "normal,no-proc-macro", "--prefix", "none")
    linked = {tuple(line.split()[:2]) for line in linked.splitlines()}
    texts: dict[str, list[str]] = {}
    for package in json.loads(cargo("metadata", "--format-version", "1"))["packages"]:
        if (package["name"], "v" + package["version"]) not in linked or package["source"] is None:
            continue
        title = f"{package['name']} {package['version']}: {package['license']}"
        folder = Path(package["manifest_path"]).parent
        files = sorted(file for file in folder.iterdir() if file.name.upper().startswith(NAMES) and file.is_file())
        text = "\n".join(file.read_text(encoding="utf-8").strip() + "\n" for file in files)
        texts.setdefault(text, []).append(title)
    for text, titles in sorted(texts.items(), key=lambda item: item[1]):
        print("\n".join(["=" * 72, *titles, "=" * 72, text]))


if __name__ == "__main__":
    main()
