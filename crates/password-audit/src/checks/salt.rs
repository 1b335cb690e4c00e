//! Rules on the salt of one stored secret.

use md5::Md5;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512};

use crate::{Policy, Subject, client_limits};

pub(super) fn salt_short(subject: &Subject, policy: &Policy) -> Option<String> {
    let len = subject.secret.as_ref()?.salt()?.len();
    policy.minimum().is_above_salt(len).then(|| {
        let refused = client_limits::refused_salt(len).map(|clients| format!("; {clients}"));
        let refused = refused.unwrap_or_default();
        format!("salt of {len} bytes, at least {} wanted{refused}", policy.salt_len)
    })
}

/// A salt that an attacker can know before the verifier is stolen, so that keys for it can be computed in
/// advance. The evidence never holds the salt.
pub(super) fn salt_derived(subject: &Subject, _: &Policy) -> Option<String> {
    let secret = subject.secret.as_ref()?;
    let salt = secret.salt().filter(|salt| salt.len() >= MIN_LEN)?;
    let name = &*subject.name_bytes;
    if salt == name {
        Some("the salt is the name")
    } else if is_hash_of(salt, name) {
        Some("the salt is a hash of the name")
    } else if salt.len() <= POSTGRESQL_LEN && salt.iter().all(|byte| *byte == salt[0]) {
        Some("all bytes of the salt are equal")
    } else if is_text(salt) && !client_limits::has_text_salt(subject, secret) {
        Some("the salt is printable text")
    } else {
        None
    }
    .map(str::to_owned)
}

/// Shorter random salts look like this by chance; [`salt_short`] reports them.
const MIN_LEN: usize = 4;

/// The length of the salts that PostgreSQL makes. A longer salt comes from a program that makes its own.
const POSTGRESQL_LEN: usize = 16;

/// Printable ASCII. One in 2700 random salts of eight bytes is.
fn is_text(salt: &[u8]) -> bool {
    salt.len() >= 8 && salt.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether the salt begins a digest of the name, in bytes or in hexadecimal digits.
fn is_hash_of(salt: &[u8], name: &[u8]) -> bool {
    let begins = |digest: &[u8]| {
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        digest.starts_with(salt) || hex.as_bytes().starts_with(&salt.to_ascii_lowercase())
    };
    begins(&Md5::digest(name))
        || begins(&Sha1::digest(name))
        || begins(&Sha256::digest(name))
        || begins(&Sha512::digest(name))
}
