//! Passwords as PostgreSQL prepares them before it hashes them: SASLprep
//! ([RFC 4013](https://www.rfc-editor.org/rfc/rfc4013)) in the server's own variant.
//!
//! The server departs from the RFC in ways that change the hashed bytes, so a general `stringprep`
//! library would make verifiers that refuse the right password:
//! * prohibited, unassigned and bidirectional characters are looked for *before* the normalisation;
//! * pure ASCII is taken as it is, control characters too;
//! * a password that cannot be prepared is hashed as it was typed.
//!
//! Source: `pg_saslprep` in PostgreSQL's `src/common/saslprep.c`, the same from 10 to 18.

mod rfc4013;
mod tables;

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use tables::{
    L_CAT, MAPPED_TO_NOTHING, NON_ASCII_SPACE, PROHIBITED, RAND_AL_CAT, UNASSIGNED, holds,
};

/// The bytes of a password that go into the key derivation. Wiped when dropped, never printed.
///
/// The constructors prepare the password, so that no key is derived from an unprepared one by mistake.
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Prepares a password as the user typed it: any bytes, in the encoding of the server that
    /// stores it.
    ///
    /// A password that cannot be prepared is taken as typed, as the server does: text in another
    /// encoding than UTF-8, emoji (not assigned in Unicode 3.2), mixed writing directions. So this
    /// cannot fail.
    ///
    /// Source: `scram_build_secret` in PostgreSQL's `src/backend/libpq/auth-scram.c`.
    pub fn prepare(raw: &[u8]) -> Self {
        saslprep(raw).unwrap_or_else(|_| Self::raw(raw))
    }

    /// Prepares a password by RFC 4013, as MongoDB does for SCRAM-SHA-256.
    ///
    /// A password of characters that SASLprep removes becomes empty.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUtf8`], then [`Error::Prohibited`].
    pub fn prepare_rfc4013(raw: &[u8]) -> Result<Self, Error> {
        rfc4013::prepare(raw)
    }

    /// Takes the bytes as they are, as Kafka does (`ScramFormatter.normalize`).
    pub fn unprepared(raw: &[u8]) -> Self {
        Self::raw(raw)
    }

    /// The prepared bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the password is empty. [`prepare`](Self::prepare) never makes a password empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn raw(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl AsRef<[u8]> for Password {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Never prints the password, nor its length.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}

/// Prepares a password, or says why the server would hash it as it was typed.
///
/// The result has at most 11 times the bytes of `raw` (U+FDFA: 3 bytes become 33). The steps
/// run over an iterator, the normalisation twice, first for the length, so that the buffer never grows and
/// leaves an unwiped half behind. The normalisation itself keeps a few characters at a time, which it does not wipe.
///
/// # Errors
///
/// In the server's order: [`Error::InvalidUtf8`], then [`Error::Prohibited`].
pub fn saslprep(raw: &[u8]) -> Result<Password, Error> {
    if raw.is_ascii() {
        return Ok(Password::raw(raw));
    }
    let text = str::from_utf8(raw).map_err(|_| Error::InvalidUtf8)?;

    check(mapped(text), is_unassigned)?;
    Ok(collected(|| mapped(text).nfkc()))
}

/// The characters in UTF-8. Asks for them twice, first for the length.
fn collected<I: Iterator<Item = char>>(characters: impl Fn() -> I) -> Password {
    let length = characters().map(char::len_utf8).sum();
    let mut prepared = Zeroizing::new(Vec::with_capacity(length));
    let mut utf8 = Zeroizing::new([0; 4]);
    for c in characters() {
        prepared.extend_from_slice(c.encode_utf8(&mut *utf8).as_bytes());
    }
    Password(prepared)
}

/// RFC 4013 section 2.1: other spaces become U+0020, and the characters of table B.1 are removed.
///
/// U+200B ZERO WIDTH SPACE is in both tables; as in the server, it becomes a space.
fn mapped(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter_map(|c| match c {
        c if c.is_ascii() => Some(c),
        c if holds(NON_ASCII_SPACE, c) => Some(' '),
        c if holds(MAPPED_TO_NOTHING, c) => None,
        c => Some(c),
    })
}

/// Whether SASLprep allows this as a user name: not empty after mapping, no prohibited character and
/// no mixture of directions.
///
/// A name is a query string: characters that Unicode 3.2 did not know are allowed (RFC 3454 section
/// 7); and unlike a password, ASCII control characters are not.
pub fn is_name(name: &str) -> bool {
    check(mapped(name), |_| false).is_ok()
}

/// Whether the character was assigned after Unicode 3.2.
fn is_unassigned(c: char) -> bool {
    holds(UNASSIGNED, c)
}

/// RFC 4013 sections 2.3 to 2.5. PostgreSQL checks the mapped text that is not normalised yet.
///
/// RFC 3454 section 6: text with a character of table D.1 has none of D.2 and has one of D.1 at both
/// ends.
fn check(text: impl Iterator<Item = char>, is_refused: impl Fn(char) -> bool) -> Result<(), Error> {
    let mut first = None;
    let mut last = None;
    let mut right_to_left = false;
    let mut left_to_right = false;
    for c in text {
        if holds(PROHIBITED, c) || is_refused(c) {
            return Err(Error::Prohibited);
        }
        right_to_left |= holds(RAND_AL_CAT, c);
        left_to_right |= holds(L_CAT, c);
        first = first.or(Some(c));
        last = Some(c);
    }

    // A soft hyphen alone maps to nothing. It is an error, so that preparation never makes a
    // password empty.
    let (Some(first), Some(last)) = (first, last) else { return Err(Error::Prohibited) };
    let framed = holds(RAND_AL_CAT, first) && holds(RAND_AL_CAT, last);
    if right_to_left && (left_to_right || !framed) {
        return Err(Error::Prohibited);
    }
    Ok(())
}

/// The reason why a password cannot be prepared. The server then hashes it as typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Invalid UTF-8: `SASLPREP_INVALID_UTF8` (-2) of the server.
    #[error("the password is not UTF-8")]
    InvalidUtf8,
    /// A prohibited character, mixed writing directions, or an empty result: `SASLPREP_PROHIBITED`
    /// (-3) of the server.
    #[error("the password holds characters that SASLprep prohibits")]
    Prohibited,
}
