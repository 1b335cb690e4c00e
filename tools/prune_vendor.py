#!/usr/bin/env python3
"""Empties the vendored crates that no build for Linux uses: prune_vendor.py FOLDER.

cargo needs the manifest of every crate of Cargo.lock, but the contents only of those that it compiles. The others
are for Windows, macOS and WebAssembly, and take half of the space.
"""

import json
import subprocess
import sys
from pathlib import Path

TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")


def main(folder: Path) -> None:
    used = set()
    for target in TARGETS:
        command = ["cargo", "tree", "--offline", "--locked", "--workspace", "--target", target]
        command += ["--features", "pg15", "--prefix", "none", "--edges", "all", "--format", "{p}"]
        listed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
        used |= {"-".join(line.split()[:2]).replace("-v", "-", 1) for line in listed.splitlines() if line}
    for crate in sorted((folder / "vendor").iterdir()):
        if name(crate) in used:
            continue
        for file in sorted(crate.rglob("*"), reverse=True):
            if file.is_dir():
                file.rmdir()
            elif file.name not in ("Cargo.toml", ".cargo-checksum.json") or file.parent != crate:
                file.unlink()
        (crate / "src").mkdir()
        (crate / "src/lib.rs").touch()
        manifest = json.loads((crate / ".cargo-checksum.json").read_text())
        manifest["files"] = {}
        (crate / ".cargo-checksum.json").write_text(json.dumps(manifest))


def name(crate: Path) -> str:
    return crate.name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
