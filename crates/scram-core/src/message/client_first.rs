//! `client-first-message`.

use super::attribute::{Attributes, is_printable, refuse_mandatory_extension, text, unescape};
use super::{Fault, MAX_MESSAGE_LEN, MAX_NONCE_LEN};

/// The client's flag for channel binding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gs2Flag<'a> {
    /// `n`: the client does not support it.
    Unsupported,
    /// `y`: the client supports it, but the server offered none.
    NotOffered,
    /// `p=`: the client requires it, of this type.
    Required(&'a str),
}

/// The first message of the client.
///
/// ```text
/// client-first-message = gs2-header client-first-message-bare
/// gs2-header           = ("p=" cb-name / "n" / "y") "," [ "a=" saslname ] ","
/// cb-name              = 1*(ALPHA / DIGIT / "." / "-")
/// client-first-message-bare = [ "m=" 1*value-char "," ] "n=" saslname "," "r=" 1*printable
///                             *( "," attr-val )
/// ```
///
/// Source: RFC 5802 section 7. `n=` may be empty here: libpq sends it so, as PostgreSQL takes the
/// user from its start-up packet; whether that will do is the server's decision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientFirst<'a> {
    /// The header up to the second comma, comma included: `c=` must repeat it.
    pub gs2_header: &'a str,
    /// The first field of the header.
    pub flag: Gs2Flag<'a>,
    /// `a=`, decoded.
    pub authzid: Option<String>,
    /// The message after the header, as received; part of AuthMessage.
    pub bare: &'a str,
    /// `n=`, decoded.
    pub username: String,
    /// `r=`.
    pub nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// Reads a message of any bytes.
    ///
    /// # Errors
    ///
    /// The first [`Fault`] found.
    pub fn from_wire(message: &'a [u8]) -> Result<Self, Fault> {
        let message = text(message, MAX_MESSAGE_LEN)?;
        let (flag, rest) = message.split_once(',').ok_or(Fault::Gs2Header)?;
        let (authzid, bare) = rest.split_once(',').ok_or(Fault::Gs2Header)?;
        let gs2_header = &message[..message.len() - bare.len()];
        let flag = match flag {
            "n" => Gs2Flag::Unsupported,
            "y" => Gs2Flag::NotOffered,
            _ => Gs2Flag::Required(
                flag.strip_prefix("p=").filter(|name| is_cb_name(name)).ok_or(Fault::Gs2Header)?,
            ),
        };
        let authzid = match authzid.strip_prefix("a=") {
            Some("") => return Err(Fault::Gs2Header),
            Some(name) => Some(unescape(name).ok_or(Fault::AuthzidEscape)?),
            None if authzid.is_empty() => None,
            None => return Err(Fault::Gs2Header),
        };

        refuse_mandatory_extension(bare)?;
        let mut attributes = Attributes::new(bare);
        let username = unescape(attributes.expect('n')?).ok_or(Fault::UsernameEncoding)?;
        let nonce = attributes.expect('r')?;
        if !is_printable(nonce) {
            return Err(Fault::Attribute('r'));
        }
        if nonce.len() > MAX_NONCE_LEN {
            return Err(Fault::Length);
        }
        attributes.extensions()?;
        Ok(Self { gs2_header, flag, authzid, bare, username, nonce })
    }
}

fn is_cb_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}
