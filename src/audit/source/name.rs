//! Names of a source's subjects, as findings show them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use password_audit::identify::looks_like_a_secret;

use super::column::Value;

/// The longest name that is shown in full, in bytes.
const LONGEST_NAME: usize = 512;

/// The end of a shortened name.
const SHORTENED: &str = " bytes, shortened)";

/// The name as it is shown, and its bytes in the server's encoding.
///
/// Findings are indexed by the shown name, and an index has no room for a text of any length; users of
/// an application choose their names, and must not keep others from being read.
pub(super) fn shown(name: Value) -> (String, Vec<u8>) {
    let name = match name {
        Value::Null => return ("a row without a name".to_owned(), Vec::new()),
        Value::TooLong { bytes } => return (format!("a name ({bytes}{SHORTENED}"), Vec::new()),
        Value::Text(name) => name,
    };
    // No text of the server's can hold a zero byte, but a bytea can.
    let text = name.to_display().replace('\0', "\\x00");
    let bytes = name.as_bytes().to_vec();
    // Columns are mixed up easily, and findings hold no secret.
    let is_secret = looks_like_a_secret(&text);
    if text.len() <= LONGEST_NAME && !is_secret {
        // Findings that count rows have subjects like "further rows", and no row may have the same.
        let is_reserved = text == "rows" || text.ends_with(" rows");
        return (if is_reserved { format!("\"{text}\"") } else { text }, bytes);
    }
    let start: String =
        if is_secret { "a secret".to_owned() } else { text.chars().take(64).collect() };
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    (format!("{start}... ({:016x}, {}{SHORTENED}", hasher.finish(), text.len()), bytes)
}
