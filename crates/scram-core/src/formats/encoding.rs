//! Base64, hexadecimal digits and JSON, and verifiers from fields.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Part, Verifier};
use crate::Mechanism;
use crate::keys::Key;
use crate::verifier::{MAX_SALT_LEN, Parameters, posit_number};

/// The bytes of a key or a salt.
pub(super) type Bytes = Zeroizing<Vec<u8>>;

/// The fields of a credential, each absent where it is missing or malformed.
pub(super) struct Fields {
    pub(super) iterations: Option<NonZeroU32>,
    pub(super) salt: Option<Bytes>,
    pub(super) stored_key: Option<Bytes>,
    pub(super) server_key: Option<Bytes>,
}

impl Fields {
    /// Fields in canonical Base64, and the count in decimal digits.
    pub(super) fn base64(count: &str, salt: &str, stored_key: &str, server_key: &str) -> Self {
        Self {
            iterations: posit_number(count),
            salt: base64(salt),
            stored_key: base64(stored_key),
            server_key: base64(server_key),
        }
    }

    /// The verifier of a mechanism. The error names the first part that it cannot have.
    pub(super) fn verifier(&self, mechanism: Mechanism) -> Result<Verifier, Part> {
        let key = |bytes: &Option<Bytes>| Key::new(mechanism, bytes.as_ref()?);
        let iterations = self.iterations.ok_or(Part::Iterations)?;
        let salt = self.salt.as_ref().ok_or(Part::Salt)?.to_vec();
        let parameters = Parameters::new(mechanism, iterations, salt).map_err(|_| Part::Salt)?;
        let stored_key = key(&self.stored_key).ok_or(Part::StoredKey)?;
        let server_key = key(&self.server_key).ok_or(Part::ServerKey)?;
        Ok(Verifier::from_keys(parameters, stored_key, server_key))
    }

    /// The verifier of the mechanism whose keys are as long as `StoredKey`.
    pub(super) fn verifier_by_length(&self, mechanisms: &[Mechanism]) -> Result<Verifier, Part> {
        let len = self.stored_key.as_ref().map(|key| key.len());
        let fits = |mechanism: &&Mechanism| Some(mechanism.key_len()) == len;
        self.verifier(*mechanisms.iter().find(fits).ok_or(Part::StoredKey)?)
    }
}

/// Bytes of canonical Base64, at most as many as a salt or a key can have.
pub(super) fn base64(text: &str) -> Option<Bytes> {
    if text.len() > MAX_SALT_LEN.div_ceil(3) * 4 {
        return None;
    }
    STANDARD.decode(text).ok().map(Zeroizing::new)
}

/// Canonical Base64.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes of pairs of hexadecimal digits.
pub(super) fn hex(digits: &str) -> Option<Bytes> {
    let digits = digits.bytes().map(|digit| char::from(digit).to_digit(16));
    let digits = Zeroizing::new(digits.collect::<Option<Vec<_>>>()?);
    let bytes = digits.chunks(2).map(|pair| match *pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    bytes.collect::<Option<_>>().map(Zeroizing::new)
}

/// JSON with the members in the order of their declaration.
pub(super) fn to_json(document: &impl Serialize) -> String {
    // Fails only for maps with keys that are no text.
    serde_json::to_string(document).unwrap_or_default()
}

/// Lower-case hexadecimal digits.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
