//! SASLprep as [RFC 4013](https://www.rfc-editor.org/rfc/rfc4013) has it, for passwords of other
//! systems than PostgreSQL.

use unicode_normalization::UnicodeNormalization;

use super::{Error, Password, check, collected, is_unassigned, mapped};

/// Prepares a password as a stored string (RFC 3454 section 7), which has no unassigned characters.
///
/// Unlike PostgreSQL's variant: ASCII is checked too, and the normalised text is checked, not the
/// mapped one. A password that maps to nothing becomes empty. U+200B ZERO WIDTH SPACE, which is in
/// two tables of RFC 3454, becomes a space, as in PostgreSQL.
pub(super) fn prepare(raw: &[u8]) -> Result<Password, Error> {
    let text = str::from_utf8(raw).map_err(|_| Error::InvalidUtf8)?;
    // Before the normalisation too, because it would replace some unassigned characters by others.
    if mapped(text).any(is_unassigned) {
        return Err(Error::Prohibited);
    }
    let normalised = || mapped(text).map(as_in_unicode_3_2).nfkc();
    if normalised().next().is_some() {
        check(normalised(), is_unassigned)?;
    }
    Ok(collected(normalised))
}

/// The decomposition of five characters in Unicode 3.2, which RFC 3454 normalises with. Later
/// versions have another one (Unicode's Corrigendum #4); all other decompositions are the same.
fn as_in_unicode_3_2(c: char) -> char {
    match c {
        '\u{2F868}' => '\u{2136A}',
        '\u{2F874}' => '\u{5F33}',
        '\u{2F91F}' => '\u{43AB}',
        '\u{2F95F}' => '\u{7AAE}',
        '\u{2F9BF}' => '\u{4D57}',
        c => c,
    }
}
