//! Trying candidate passwords on one stored secret.

use md5::Md5;
use sha2::Digest;
use zeroize::Zeroizing;

use super::{Policy, Secret, Subject};
use crate::identify::Kind;
use crate::keys::Key;
use crate::mechanism::Mechanism;
use crate::saslprep::Password;

/// Whether one of the candidates is the password.
pub(super) fn fits_any(
    secret: &Secret,
    subject: &Subject,
    candidates: &[Vec<u8>],
    policy: &Policy,
    mut tick: impl FnMut(),
) -> bool {
    is_possible(secret, policy)
        && candidates.iter().any(|candidate| {
            tick();
            match secret.verifier() {
                Some(verifier) => verifier.verify(&Password::prepare(candidate), &mut tick),
                None => md5_hash(candidate, &subject.name_bytes).as_str() == secret.text(),
            }
        })
}

/// Whether candidates are tried at all on a secret of this kind and cost.
pub(super) fn is_possible(secret: &Secret, policy: &Policy) -> bool {
    match secret.verifier() {
        Some(verifier) => verifier.iterations().get() <= policy.max_iterations,
        None => secret.kind() == Kind::Md5,
    }
}

/// Tells one pair of secret and candidates from another, without being of use for guessing.
pub(super) fn digest(key: &Key, id: &str, subject: &Subject, candidates: &[Vec<u8>]) -> Key {
    // Of the candidates first: an unkeyed digest of what anybody can work out from the name.
    let listed = candidates.iter().fold(sha2::Sha256::new(), |hash, candidate| {
        hash.chain_update(candidate.len().to_be_bytes()).chain_update(candidate)
    });
    let secret = subject.secret.as_ref().map_or("", Secret::text);
    let parts = [b"audit\0", id.as_bytes(), b"\0", secret.as_bytes(), b"\0", &listed.finalize()];
    key.hmac(Mechanism::ScramSha256, &parts)
}

/// `md5` and `hex(md5(password ‖ name))`. The password isn't prepared here.
///
/// Source: `pg_md5_encrypt` in PostgreSQL's `src/common/md5_common.c`.
fn md5_hash(password: &[u8], name: &[u8]) -> Zeroizing<String> {
    use std::fmt::Write as _;

    let hash = Md5::new().chain_update(password).chain_update(name).finalize();
    let mut text = Zeroizing::new(String::with_capacity(35));
    text.push_str("md5");
    for byte in hash {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
