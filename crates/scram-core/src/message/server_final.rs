//! `server-final-message`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::attribute::{Attributes, refuse_mandatory_extension, text};
use super::{ErrorValue, Fault, MAX_SERVER_MESSAGE_LEN};
use crate::keys::Key;
use crate::mechanism::Mechanism;

/// The final message of the server.
///
/// ```text
/// server-final-message = ( "e=" server-error-value / "v=" base64 ) *( "," attr-val )
/// ```
///
/// Source: RFC 5802 section 7.
#[derive(Clone, Debug)]
pub enum ServerFinal {
    /// `e=`: the server rejects the client.
    Error(ErrorValue),
    /// `v=`: the server accepts the client. The ServerSignature proves that the server knows the
    /// verifier.
    Signature(Key),
}

impl ServerFinal {
    /// Reads a message of any bytes.
    ///
    /// # Errors
    ///
    /// The first [`Fault`] found.
    pub fn from_wire(message: &[u8], mechanism: Mechanism) -> Result<Self, Fault> {
        let text = text(message, MAX_SERVER_MESSAGE_LEN)?;
        refuse_mandatory_extension(text)?;
        let mut attributes = Attributes::new(text);
        if text.starts_with("e=") {
            let value = ErrorValue::from_wire(attributes.expect('e')?);
            attributes.extensions()?;
            return Ok(Self::Error(value));
        }
        let signature = STANDARD.decode(attributes.expect('v')?).ok();
        let signature = signature.and_then(|bytes| Key::new(mechanism, &bytes));
        attributes.extensions()?;
        Ok(Self::Signature(signature.ok_or(Fault::Proof)?))
    }

    /// Writes the message.
    pub fn write(&self) -> String {
        match self {
            Self::Error(value) => format!("e={value}"),
            Self::Signature(signature) => format!("v={}", STANDARD.encode(signature.as_bytes())),
        }
    }
}
