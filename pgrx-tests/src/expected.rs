//! Comparison with a file under `expected/`.

use std::fs;
use std::path::Path;

/// Compares `actual` with `expected/NAME`, line by line.
///
/// If `UPDATE_EXPECTED` is set in the environment (`make expected`), it writes the file instead.
/// Read the diff before you commit it, because the file is the extension's interface.
pub fn assert_matches_file(name: &str, actual: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("expected").join(name);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, actual.join("\n") + "\n").expect("the expected file");
        return;
    }

    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let expected: Vec<_> = text.lines().collect();
    let missing = expected.iter().filter(|line| !actual.iter().any(|other| other == *line));
    let surplus = actual.iter().filter(|line| !expected.contains(&line.as_str()));
    let diff: Vec<_> = missing
        .map(|line| format!("- {line}"))
        .chain(surplus.map(|line| format!("+ {line}")))
        .collect();
    assert!(diff.is_empty(), "{name} (- expected, + found):\n{}", diff.join("\n"));
}
