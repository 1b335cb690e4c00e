//! Prepared passwords compared with those that PostgreSQL 15 and 18 hashed.

use std::collections::BTreeMap;

use scram_core::saslprep::{Error, Password, saslprep};
use serde::Deserialize;

/// One password and its prepared forms on two live servers.
#[derive(Deserialize)]
struct Row {
    label: String,
    input_hex: String,
    pg_rc15: i32,
    pg_rc18: i32,
    pg15_hashed_hex: String,
    pg18_hashed_hex: String,
    /// By Python's `stringprep` and Unicode 3.2: the bytes, or `error`.
    rfc4013: String,
}

#[test]
fn rows() {
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("testdata/saslprep_rows.json")).expect("JSON");
    assert_eq!(rows.len(), 72);
    for row in rows {
        let input = bytes(&row.input_hex);
        assert_eq!([code(&input); 2], [row.pg_rc15, row.pg_rc18], "{}", row.label);
        let prepared = hex(Password::prepare(&input).as_bytes());
        assert_eq!(prepared, row.pg15_hashed_hex, "{}", row.label);
        assert_eq!(prepared, row.pg18_hashed_hex, "{}", row.label);
    }
}

/// The other two preparations of the same passwords.
#[test]
fn rows_by_the_rfc_and_unprepared() {
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("testdata/saslprep_rows.json")).expect("JSON");
    for row in rows {
        let input = bytes(&row.input_hex);
        let prepared = Password::prepare_rfc4013(&input).map(|password| hex(password.as_bytes()));
        assert_eq!(prepared.unwrap_or_else(|_| "error".to_owned()), row.rfc4013, "{}", row.label);
        assert_eq!(hex(Password::unprepared(&input).as_bytes()), row.input_hex, "{}", row.label);
    }
}

/// Bytes as a database in SQL_ASCII or LATIN1 stores them, which may or may not be UTF-8.
#[test]
fn other_encodings() {
    let cases = [
        ("never valid", "ff", -2, "ff"),
        ("Latin-1 e acute", "636166e9", -2, "636166e9"),
        ("bad continuation", "c328", -2, "c328"),
        ("overlong NUL", "61c080", -2, "61c080"),
        ("overlong", "e08080", -2, "e08080"),
        ("surrogate", "eda080", -2, "eda080"),
        ("above U+10FFFF", "f4908080", -2, "f4908080"),
        ("five bytes", "f888808080", -2, "f888808080"),
        ("truncated", "61e282", -2, "61e282"),
        ("I SHY X", "49c2ad58", 0, "4958"),
        ("U+2168", "e285a8", 0, "4958"),
        ("SHY and an invalid byte", "49c2ad58ff", -2, "49c2ad58ff"),
        ("BOM and pw", "efbbbf7077", 0, "7077"),
        ("LATIN1 e acute", "e9", -2, "e9"),
        ("LATIN1 I SHY X", "49ad58", -2, "49ad58"),
        ("LATIN1 ordinal a", "aa", -2, "aa"),
        ("LATIN1 A tilde SHY, UTF-8 for i acute", "c3ad", 0, "c3ad"),
        ("LATIN1 A circumflex NBSP, UTF-8 for NBSP", "61c2a062", 0, "612062"),
    ];
    for (name, input, expected_code, expected) in cases {
        let input = bytes(input);
        assert_eq!(code(&input), expected_code, "{name}");
        assert_eq!(hex(Password::prepare(&input).as_bytes()), expected, "{name}");
    }
}

/// The code points for which a textbook SASLprep would hash other bytes than PostgreSQL.
#[test]
fn code_points_that_other_implementations_miss() {
    let contexts: BTreeMap<String, BTreeMap<String, Vec<String>>> =
        serde_json::from_str(include_str!("testdata/saslprep_diffs.json")).expect("JSON");
    let mut seen = 0;
    for (context, classes) in contexts {
        for (class, code_points) in classes {
            for code_point in code_points {
                let c = u32::from_str_radix(&code_point, 16).ok().and_then(char::from_u32);
                let input = context.replace("<c>", &c.expect("a code point").to_string());
                let name = format!("U+{code_point} in {context}: {class}");
                if class.starts_with("postgres raw") {
                    assert_eq!(code(input.as_bytes()), -3, "{name}");
                    assert_eq!(Password::prepare(input.as_bytes()).as_bytes(), input.as_bytes());
                } else {
                    assert!(class.starts_with("postgres prepared"), "{name}");
                    assert_eq!(code(input.as_bytes()), 0, "{name}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn empty_only_if_it_was() {
    assert!(Password::prepare(b"").is_empty());
    for text in ["\u{AD}", "\u{200D}\u{200C}\u{FEFF}", "\u{FE0F}", "\u{200B}"] {
        assert!(!Password::prepare(text.as_bytes()).is_empty(), "{text:?}");
    }
}

/// The worst expansion there is: 18 characters for one, 11 bytes for each.
#[test]
fn expansion_is_bounded() {
    let input = "\u{FDFA}".repeat(100_000);
    assert_eq!(Password::prepare(input.as_bytes()).as_bytes().len(), 11 * input.len());
}

#[test]
fn debug_prints_nothing() {
    let printed = format!("{:?}", Password::prepare(b"hunter2"));
    assert_eq!(printed, "Password { .. }");
}

/// The server's return code.
fn code(raw: &[u8]) -> i32 {
    match saslprep(raw) {
        Ok(_) => 0,
        Err(Error::InvalidUtf8) => -2,
        Err(Error::Prohibited) => -3,
        Err(other) => panic!("{other}"),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
