//! Trying candidate passwords on one stored secret.

use std::fmt;
use std::sync::Arc;

use super::{AuditCheck, CHECKS, CheckKind, ClientKind, Origin, Policy, Subject};
use crate::identify::Kind;
use scram_core::keys::{HmacKey, Key};
use scram_core::mechanism::Mechanism;
use scram_core::search::{Md5Hash, Search, Target, Trial};

/// Increase it when [`candidates_by_name`] changes its result for the same subject and year.
const REVISION: i32 = 3;

/// A password to try, and the check that a hit belongs to.
#[derive(Clone)]
pub struct Candidate {
    /// A [`CheckKind::Guess`].
    pub check: &'static AuditCheck,
    text: Arc<[u8]>,
}

impl Candidate {
    /// A candidate as it would be typed, in the server's encoding.
    pub fn new(check: &'static AuditCheck, text: &[u8]) -> Self {
        Self { check, text: text.into() }
    }
}

impl AsRef<[u8]> for Candidate {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// Never prints the text.
impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("check", &self.check.id).finish_non_exhaustive()
    }
}

/// Candidates made from the data of one subject, for all checks.
pub fn candidates_by_name(subject: &Subject, policy: &Policy) -> Vec<Candidate> {
    candidates(|guess| (guess.by_name)(subject, policy))
}

/// How many [`candidates_by_name`] returns.
pub fn count_by_name(subject: &Subject, policy: &Policy) -> usize {
    guesses().map(|(_, guess)| (guess.by_name)(subject, policy).len()).sum()
}

/// Candidates made from the server's settings, for every subject and all checks. The word list is
/// not among them.
pub fn candidates_by_server(policy: &Policy) -> Vec<Candidate> {
    candidates(|guess| (guess.by_server)(policy))
}

fn candidates(texts: impl Fn(&super::Guess) -> Vec<Vec<u8>>) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (check, guess) in guesses() {
        candidates.extend(texts(guess).iter().map(|text| Candidate::new(check, text)));
    }
    candidates
}

/// The checks that try passwords.
fn guesses() -> impl Iterator<Item = (&'static AuditCheck, &'static super::Guess)> {
    CHECKS.iter().filter_map(|check| match &check.kind {
        CheckKind::Guess(guess) => Some((check, guess)),
        _ => None,
    })
}

/// While this number is unchanged, [`candidates_by_name`] returns the same candidates for a subject.
pub fn guess_version(policy: &Policy) -> i32 {
    policy.year.saturating_mul(100).saturating_add(REVISION)
}

/// Whether candidates are tried on a subject's secret. They are not if the secret is neither SCRAM
/// nor MD5, or if its iteration count is above [`Policy::max_iterations`].
pub fn is_tried(subject: &Subject, policy: &Policy) -> bool {
    subject.secret.as_ref().is_some_and(|secret| match secret.verifier() {
        Some(verifier) => verifier.iterations().get() <= policy.max_iterations,
        None => secret.kind() == Kind::Md5,
    })
}

/// What candidates are tried on; `None` where none are. `md5` is the subject's MD5 hash, if it has one.
fn target<'a>(
    subject: &'a Subject,
    policy: &Policy,
    md5: Option<&'a Md5Hash>,
) -> Option<Target<'a>> {
    let secret = subject.secret.as_ref().filter(|_| is_tried(subject, policy))?;
    let Some(verifier) = secret.verifier() else { return md5.map(Target::Md5) };
    let is_mongodbs = secret.kind() == Kind::Mongodb
        || matches!(subject.origin, Origin::Registered { client: Some(ClientKind::Mongodb), .. });
    if is_mongodbs && verifier.mechanism() == Mechanism::ScramSha1 {
        // A document is named by something else than its user, such as its _id.
        let user = secret.user().map_or(&*subject.name_bytes, str::as_bytes);
        return Some(Target::Mongodb { verifier, user });
    }
    Some(Target::Scram(verifier))
}

/// A subject, and the candidates to try on its secret.
#[derive(Debug)]
pub struct Guesses<'a, C> {
    /// The subject.
    pub subject: &'a Subject,
    /// The candidates, as they would be typed.
    pub candidates: &'a [C],
}

/// For each element of `guesses` the positions of all candidates that are the password. There can be several,
/// because checks can share a candidate.
///
/// All candidates are tried even after a hit, so that neither the time nor the number of tries
/// tells which one it was. One search tries them on all secrets, so that few candidates for each of many
/// secrets keep the CPU's vector lanes full.
///
/// # Errors
///
/// Errors of `search`, which must run the [`Search`] to its end or return an error.
pub fn guess<C: AsRef<[u8]>, E>(
    guesses: &[Guesses<'_, C>],
    policy: &Policy,
    search: impl FnOnce(&Search<'_, C>) -> Result<(), E>,
) -> Result<Vec<Vec<usize>>, E> {
    let hashes: Vec<_> = guesses.iter().map(|guess| md5_hash(guess.subject)).collect();
    let mut trials = Vec::with_capacity(guesses.len());
    let mut subjects = Vec::with_capacity(guesses.len());
    for ((number, guess), hash) in guesses.iter().enumerate().zip(&hashes) {
        if let Some(target) = target(guess.subject, policy, hash.as_ref()) {
            trials.push(Trial { target, candidates: guess.candidates });
            subjects.push(number);
        }
    }
    let run = Search::all(trials);
    search(&run)?;
    let mut hits = vec![Vec::new(); guesses.len()];
    for (trial, candidate) in run.hits() {
        if let Some(hits) = subjects.get(trial).and_then(|number| hits.get_mut(*number)) {
            hits.push(candidate);
        }
    }
    Ok(hits)
}

/// The subject's MD5 hash, if its secret is one.
fn md5_hash(subject: &Subject) -> Option<Md5Hash> {
    let secret = subject.secret.as_ref().filter(|secret| secret.verifier().is_none())?;
    Md5Hash::new(secret.text(), &subject.name_bytes)
}

/// The checks of these hits, each once.
pub fn checks_of<'a, C>(
    candidates: &'a [C],
    hits: &[usize],
    check: impl Fn(&'a C) -> &'static AuditCheck,
) -> Vec<&'static AuditCheck> {
    let mut checks: Vec<&'static AuditCheck> = Vec::new();
    for candidate in hits.iter().filter_map(|hit| candidates.get(*hit)) {
        let check = check(candidate);
        if checks.iter().all(|known| known.id != check.id) {
            checks.push(check);
        }
    }
    checks
}

/// A digest of a subject's secret. It shows whether the secret has changed, and is of no use for
/// guessing.
///
/// `None` where there is no secret.
pub fn secret_digest(key: &HmacKey, subject: &Subject) -> Option<Key> {
    let secret = subject.secret.as_ref()?;
    let text = match secret.unread_len() {
        Some(bytes) => Err(bytes),
        None => Ok(secret.text()),
    };
    let client = match subject.origin {
        Origin::Registered { client, .. } => client,
        _ => None,
    };
    Some(text_digest(key, subject.origin.name(), client, &subject.name_bytes, text))
}

/// The same digest, of a secret that was not parsed. `text`: the stored text, or the length in bytes of
/// one that is too long to be read.
///
/// With another client that hashes in another way, all candidates are to be tried again: the secret is another one.
pub fn text_digest(
    key: &HmacKey,
    source: &str,
    client: Option<ClientKind>,
    name: &[u8],
    text: Result<&str, usize>,
) -> Key {
    let unread;
    let text = match text {
        Ok(text) => text,
        Err(bytes) => {
            unread = format!("unread\0{bytes}");
            &unread
        }
    };
    // A name of bytes can hold NUL; its length keeps two names apart.
    let len = name.len().to_be_bytes();
    let label = match client {
        Some(ClientKind::Mongodb) => b"audited secret of mongodb\0".as_slice(),
        Some(ClientKind::Kafka) | None => b"audited secret\0",
    };
    let parts = [label, source.as_bytes(), b"\0", &len, name, text.as_bytes()];
    key.hmac(&parts)
}
