//! Trying candidate passwords on one stored secret.

use sha2::Digest;

use super::{Policy, Secret, Subject};
use crate::identify::Kind;
use crate::keys::Key;
use crate::mechanism::Mechanism;
use crate::search::{Md5Hash, Search, Target};

/// Whether one of the candidates is the password.
pub(super) fn fits_any(
    secret: &Secret,
    subject: &Subject,
    candidates: &[Vec<u8>],
    policy: &Policy,
    tick: impl FnMut(),
) -> bool {
    if !is_possible(secret, policy) {
        return false;
    }
    let md5 = Md5Hash::new(secret.text(), &subject.name_bytes);
    let Some(target) =
        secret.verifier().map(Target::Scram).or_else(|| md5.as_ref().map(Target::Md5))
    else {
        return false;
    };
    let search = Search::new(target, candidates);
    search.work(tick);
    search.found().is_some()
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
