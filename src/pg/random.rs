//! The operating system's randomness: the only source of salts, nonces and passwords.
//!
//! No generator is kept in the process: one seeded before a fork would repeat itself in every
//! backend.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::error::Error;

/// Random bytes of a server nonce, as in PostgreSQL (`SCRAM_RAW_NONCE_LEN`, scram-common.h); a
/// multiple of three, so that Base64 adds no padding.
const NONCE_BYTES: usize = 18;

/// A salt of this many bytes.
pub(crate) fn salt(len: usize) -> Result<Vec<u8>, Error> {
    let mut salt = vec![0; len];
    fill(&mut salt)?;
    Ok(salt)
}

/// Random bytes in place of what was there.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    SysRng.try_fill_bytes(bytes).map_err(|_| Error::Random)
}

/// A nonce of 24 printable characters.
pub(crate) fn nonce() -> Result<String, Error> {
    let mut bytes = [0; NONCE_BYTES];
    fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}
