#!/usr/bin/env python3
"""Counts vague words and vague openings in comments and pages, and fails above the limits.

CONTRIBUTING.md, section "Words", has the rules. Comments of Rust, SQL and shell, string literals of
SQL comments, and Markdown count; code and tables of names do not.
"""

import re
import subprocess
import sys
from pathlib import Path

# A comment or page names its actor instead.
VAGUE = re.compile(
    r"\b(nobody|somebody|someone|anybody|anyone|everybody|everyone|whoever|whomever|whom|him|his|he|"
    r"anew|alike|whatever)\b|\bwho that\b|\bcan't\b|\bwon't\b",
    re.IGNORECASE,
)
# A sentence begins with its subject.
OPENING = re.compile(r"(?:^|[.:!?] )(What|Who|That|As|Of|Not|Only)\b(?! (is|does) (the|a) \w+\?)")

# Vague words in 10,000 words, and vague openings in 100 lines.
MAX_VAGUE = 1.0
MAX_OPENINGS = 1.0


def lines_of(path: Path) -> list[str]:
    """The prose of a file, line by line, without comment marks."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        prose, inside = [], False
        for line in text.splitlines():
            if line.startswith("```"):
                inside = not inside
            elif not inside:
                prose.append(re.sub(r"`[^`]*`", "", line).lstrip("#-*> |").strip())
        return prose
    marks = {".rs": r"^\s*//[/!]?\s?(.*)", ".sql": r"^\s*--\s?(.*)"}
    mark = re.compile(marks.get(path.suffix, r"^\s*#(?!!)\s?(.*)"))
    found = [match.group(1) for line in text.splitlines() if (match := mark.match(line))]
    if path.suffix == ".sql":
        found += re.findall(r"IS\s+'((?:[^']|'')*)'", text)
    return [re.sub(r"`[^`]*`", "", line) for line in found]


def main() -> int:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    words = openings = lines = 0
    vague: list[str] = []
    opened: list[str] = []
    for name in listed.stdout.splitlines():
        path = Path(name)
        is_prose = path.suffix in {".rs", ".sql", ".md", ".sh", ".yml", ".toml"} or path.name == "Makefile"
        # The script of a release repeats sql/schema/ as it was then.
        generated = name in {"docs/reference.md"} or name.startswith(("pgrx-tests/expected/", "target/", "sql/scram_ext--"))
        if not is_prose or generated or not path.is_file():
            continue
        for line in lines_of(path):
            words += len(line.split())
            if not line.strip():
                continue
            lines += 1
            vague += [f"{name}: {match.group(0)}: {line.strip()[:100]}" for match in VAGUE.finditer(line)]
            if OPENING.search(line):
                opened.append(f"{name}: {line.strip()[:110]}")
    per_words = 10_000 * len(vague) / max(words, 1)
    per_lines = 100 * len(opened) / max(lines, 1)
    if "--list" in sys.argv:
        print("\n".join(vague + opened))
    print(f"{words} words, {len(vague)} vague ones: {per_words:.1f} in 10,000 (at most {MAX_VAGUE})")
    print(f"{lines} lines, {len(opened)} vague openings: {per_lines:.1f} in 100 (at most {MAX_OPENINGS})")
    return int(per_words > MAX_VAGUE or per_lines > MAX_OPENINGS)


if __name__ == "__main__":
    sys.exit(main())
