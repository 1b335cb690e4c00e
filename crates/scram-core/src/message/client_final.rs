//! `client-final-message`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::attribute::{Attributes, is_printable, refuse_mandatory_extension, text};
use super::{Fault, MAX_MESSAGE_LEN};
use crate::keys::Key;
use crate::mechanism::Mechanism;

/// The final message of the client.
///
/// ```text
/// client-final-message = client-final-message-without-proof ",p=" base64
/// client-final-message-without-proof = "c=" base64 ",r=" 1*printable *( "," attr-val )
/// ```
///
/// Source: RFC 5802 section 7.
#[derive(Clone, Debug)]
pub struct ClientFinal<'a> {
    /// The message up to `,p=`, as received; part of AuthMessage.
    pub without_proof: &'a str,
    /// `c=`, decoded: GS2 header and channel-binding data.
    pub cbind_input: Vec<u8>,
    /// `r=`.
    pub nonce: &'a str,
    /// `p=`.
    pub proof: Key,
}

impl<'a> ClientFinal<'a> {
    /// Reads a message of any bytes.
    ///
    /// # Errors
    ///
    /// The first [`Fault`] found.
    pub fn from_wire(message: &'a [u8], mechanism: Mechanism) -> Result<Self, Fault> {
        let message = text(message, MAX_MESSAGE_LEN)?;
        let (without_proof, last) = message.rsplit_once(',').ok_or(Fault::Attribute('p'))?;

        refuse_mandatory_extension(message)?;
        let mut attributes = Attributes::new(without_proof);
        let cbind_input = attributes.expect('c')?;
        let cbind_input = STANDARD.decode(cbind_input).map_err(|_| Fault::BindingEncoding)?;
        let nonce = attributes.expect('r')?;
        if !is_printable(nonce) {
            return Err(Fault::Attribute('r'));
        }
        attributes.extensions()?;
        let proof = last.strip_prefix("p=").ok_or(Fault::Attribute('p'))?;
        let proof = STANDARD.decode(proof).ok().and_then(|bytes| Key::new(mechanism, &bytes));
        Ok(Self { without_proof, cbind_input, nonce, proof: proof.ok_or(Fault::Proof)? })
    }

    /// Writes `client-final-message-without-proof`.
    pub fn write_without_proof(cbind_input: &[u8], nonce: &str) -> String {
        format!("c={},r={nonce}", STANDARD.encode(cbind_input))
    }

    /// Writes the whole message.
    pub fn write(without_proof: &str, proof: &Key) -> String {
        format!("{without_proof},p={}", STANDARD.encode(proof.as_bytes()))
    }
}
