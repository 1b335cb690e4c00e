//! `server-first-message`.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::attribute::{Attributes, is_printable, refuse_mandatory_extension, text};
use super::{Fault, MAX_SERVER_MESSAGE_LEN};
use crate::verifier::posit_number;

/// The first message of the server.
///
/// ```text
/// server-first-message = [ "m=" 1*value-char "," ] "r=" 1*printable ",s=" base64 ",i=" posit-number
///                        *( "," attr-val )
/// ```
///
/// Source: RFC 5802 section 7.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerFirst<'a> {
    /// `r=`: the client's nonce and the server's behind it.
    pub nonce: &'a str,
    /// `s=`, decoded.
    pub salt: Vec<u8>,
    /// `i=`.
    pub iterations: NonZeroU32,
}

impl<'a> ServerFirst<'a> {
    /// Reads a message of any bytes.
    ///
    /// # Errors
    ///
    /// The first [`Fault`] found.
    pub fn from_wire(message: &'a [u8]) -> Result<Self, Fault> {
        let text = text(message, MAX_SERVER_MESSAGE_LEN)?;
        refuse_mandatory_extension(text)?;
        let mut attributes = Attributes::new(text);
        let nonce = attributes.expect('r')?;
        if !is_printable(nonce) {
            return Err(Fault::Attribute('r'));
        }
        let salt = STANDARD.decode(attributes.expect('s')?).map_err(|_| Fault::Salt)?;
        if salt.is_empty() {
            return Err(Fault::Salt);
        }
        let iterations = posit_number(attributes.expect('i')?).ok_or(Fault::Iterations)?;
        attributes.extensions()?;
        Ok(Self { nonce, salt, iterations })
    }

    /// Writes the message. `salt` is Base64 already.
    pub fn write(nonce: &str, salt: &str, iterations: i32) -> String {
        format!("r={nonce},s={salt},i={iterations}")
    }
}
