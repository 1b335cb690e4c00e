//! Keys and salts that are derived from one secret, for one purpose each.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::keys::Key;
use crate::mechanism::Mechanism;

/// The most bytes that one derivation gives (RFC 5869 section 2.3: 255 blocks of the hash function).
pub const MAX_DERIVED_LEN: usize = 255 * 32;

/// A secret from which keys are derived: HKDF-SHA-256 (RFC 5869), without a salt.
///
/// The derived bytes depend on `context`, a list of byte strings. Each string is framed by its
/// length, so that two different lists are never the same input.
#[derive(Clone)]
pub struct RootKey(Hkdf<Sha256>);

impl RootKey {
    /// Takes a secret of any length, with the entropy of a key.
    pub fn new(secret: &[u8]) -> Self {
        Self(Hkdf::new(None, secret))
    }

    /// `len` bytes; cut to [`MAX_DERIVED_LEN`].
    pub fn bytes(&self, context: &[&[u8]], len: usize) -> Zeroizing<Vec<u8>> {
        let lengths: Vec<[u8; 8]> =
            context.iter().map(|part| (part.len() as u64).to_be_bytes()).collect();
        let framed: Vec<&[u8]> =
            lengths.iter().zip(context).flat_map(|(len, part)| [len.as_slice(), part]).collect();
        let mut bytes = Zeroizing::new(vec![0; len.min(MAX_DERIVED_LEN)]);
        // Fails only for more bytes than that.
        let _ = self.0.expand_multi_info(&framed, &mut bytes);
        bytes
    }

    /// A key of SCRAM-SHA-256's length.
    pub fn key(&self, context: &[&[u8]]) -> Key {
        self.mechanism_key(Mechanism::ScramSha256, context)
    }

    /// A key of this mechanism's length.
    pub fn mechanism_key(&self, mechanism: Mechanism, context: &[&[u8]]) -> Key {
        Key::copy(&self.bytes(context, mechanism.key_len()))
    }
}

/// Never prints key material.
impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey").finish_non_exhaustive()
    }
}
