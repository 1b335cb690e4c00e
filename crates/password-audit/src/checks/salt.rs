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
        Some("the salt is text")
    } else {
        None
    }
    .map(str::to_owned)
}

/// Shorter random salts look like this by chance; [`salt_short`] reports them.
const MIN_LEN: usize = 4;

/// The length of the salts that PostgreSQL makes. A longer salt comes from a program that makes its own.
const POSTGRESQL_LEN: usize = 16;

/// Letters, digits and what names hold. One in ten million random salts of twelve bytes is such a text; with
/// all of ASCII, or shorter salts, a table of a million rows would have some by chance.
fn is_text(salt: &[u8]) -> bool {
    let is_common = |byte: &u8| byte.is_ascii_alphanumeric() || b" -._@".contains(byte);
    salt.len() >= 12 && salt.iter().all(is_common)
}

/// Whether the salt begins a digest of the name, in bytes or in hexadecimal digits.
fn is_hash_of(salt: &[u8], name: &[u8]) -> bool {
    // Few salts are hexadecimal digits, and each row of a large source comes here.
    let digits = salt.iter().all(u8::is_ascii_hexdigit).then(|| salt.to_ascii_lowercase());
    let begins = |digest: &[u8]| {
        digest.starts_with(salt)
            || digits.as_ref().is_some_and(|salt| hex::encode(digest).as_bytes().starts_with(salt))
    };
    begins(&Md5::digest(name))
        || begins(&Sha1::digest(name))
        || begins(&Sha256::digest(name))
        || begins(&Sha512::digest(name))
}
