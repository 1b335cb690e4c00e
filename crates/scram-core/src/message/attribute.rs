//! `attr-val`, `saslname` and `printable`: the parts of the messages.

use std::str::Split;

use super::Fault;

/// The letters that RFC 5802 section 5.1 gives a meaning to; no extension may use one.
const RESERVED: &[u8] = b"aceimnprsv";

/// The attributes of a message, read one after the other.
///
/// ```text
/// attr-val   = ALPHA "=" value
/// value      = 1*value-char
/// value-char = any UTF-8 but NUL and ","
/// ```
pub(super) struct Attributes<'a>(Split<'a, char>);

impl<'a> Attributes<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text.split(','))
    }

    /// The value of the next attribute, which must have this name. It may be empty.
    pub(super) fn expect(&mut self, name: char) -> Result<&'a str, Fault> {
        self.0
            .next()
            .and_then(|attribute| attribute.strip_prefix(name)?.strip_prefix('='))
            .ok_or(Fault::Attribute(name))
    }

    /// Reads the remaining attributes: extensions, which are signed but have no meaning here.
    pub(super) fn extensions(self) -> Result<(), Fault> {
        for attribute in self.0 {
            let well_formed = match attribute.as_bytes() {
                [name, b'=', _, ..] => name.is_ascii_alphabetic() && !RESERVED.contains(name),
                _ => false,
            };
            if !well_formed {
                return Err(Fault::Extension);
            }
        }
        Ok(())
    }
}

/// Refuses an `m=` anywhere: RFC 5802 section 5.1 has its presence end the exchange, and no other
/// fault of the message is as telling.
pub(super) fn refuse_mandatory_extension(text: &str) -> Result<(), Fault> {
    if text.split(',').any(|attribute| attribute.starts_with("m=")) {
        return Err(Fault::MandatoryExtension);
    }
    Ok(())
}

/// The message as text: not longer than `max` bytes, valid UTF-8 without NUL.
pub(super) fn text(message: &[u8], max: usize) -> Result<&str, Fault> {
    if message.len() > max {
        return Err(Fault::Length);
    }
    let text = std::str::from_utf8(message).map_err(|error| {
        // A name that is not UTF-8 has an error value of its own.
        match message[..error.valid_up_to()].rsplit(|b| *b == b',').next() {
            Some([b'n', b'=', ..]) => Fault::UsernameEncoding,
            Some([b'a', b'=', ..]) => Fault::AuthzidEscape,
            _ => Fault::Encoding,
        }
    })?;
    if text.contains('\0') { Err(Fault::Encoding) } else { Ok(text) }
}

/// `1*printable`, where `printable = %x21-2B / %x2D-7E`: the grammar of a nonce.
pub(crate) fn is_printable(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|b| matches!(b, 0x21..=0x2B | 0x2D..=0x7E))
}

/// `saslname = 1*(value-safe-char / "=2C" / "=3D")`, decoded in one pass: `=3D2C` is `=2C`, not a
/// comma. An empty one is returned as it is. `None`: another escape, or one cut short.
pub(crate) fn unescape(saslname: &str) -> Option<String> {
    let mut parts = saslname.split('=');
    let mut name = String::with_capacity(saslname.len());
    name.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        name.push(character);
        name.push_str(rest);
    }
    Some(name)
}

/// The `saslname` of a name.
pub(crate) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}
