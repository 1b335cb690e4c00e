//! The audit of stored passwords: the facts that it looks at, and the checks that judge them.
//!
//! [`CHECKS`] lists every check. The SQL functions, the stored runs, the report and the documentation
//! all read that one list. Evidence never holds key material or a password.
#![forbid(unsafe_code)]

mod checks;
mod client_limits;
pub mod guard;
mod guess;
pub mod hba;
pub mod identify;
mod libraries;
pub mod login;
mod severity;
mod subject;

use std::num::NonZeroU32;

use scram_core::search::Search;
use scram_core::verifier::Minimum;

pub use checks::{CHECKS, LOGGING_SETTINGS, OFF_BY_DEFAULT};
pub use client_limits::ClientKind;
pub use guess::{
    Candidate, Guesses, candidates_by_name, candidates_by_server, checks_of, count_by_name, guess,
    guess_version, is_tried, secret_digest, text_digest,
};
pub use hba::HbaRule;
pub use identify::{Kind, identify};
pub use libraries::library_names;
pub use severity::Severity;
pub use subject::{
    FirstSeen, HashPath, Origin, ParsedSecret, RoleFacts, ServerConfig, StoredSecret, Subject,
    ValidUntil,
};

/// A weakness that the audit looks for.
#[derive(Debug)]
pub struct AuditCheck {
    /// Part of the interface: an id is never renamed and never reused for another check.
    pub id: &'static str,
    /// Severity of the check's findings.
    pub severity: Severity,
    /// A clause that names the weakness.
    pub title: &'static str,
    /// A sentence that says what to type.
    pub remedy: &'static str,
    /// The rule that decides.
    pub kind: CheckKind,
}

impl AuditCheck {
    /// What a hit of a [`CheckKind::Guess`] says; `None` for other checks.
    pub fn guess_evidence(&self) -> Option<&'static str> {
        match &self.kind {
            CheckKind::Guess(guess) => Some(guess.evidence),
            _ => None,
        }
    }
}

/// The rule of a check, by the facts that it needs.
#[derive(Debug)]
pub enum CheckKind {
    /// Tries passwords on one subject. Derives keys, so the stored iteration count sets the cost.
    Guess(Guess),
    /// Judges the server's settings and rules.
    Server(fn(&ServerConfig, &Policy) -> Vec<ServerHit>),
    /// Compares the subjects of a source with each other. SQL finds these hits, because it can sort sources
    /// that do not fit into memory.
    Shared,
    /// Judges one subject at a time; returns the evidence of a hit.
    Subject(fn(&Subject, &Policy) -> Option<String>),
    /// The same with a rule for [`SubjectHit::context`].
    SubjectInContext(fn(&Subject, &Policy) -> Option<String>, fn(&Subject) -> String),
    /// Judges one subject at a time, and the server too.
    SubjectOrServer(
        fn(&Subject, &Policy) -> Option<String>,
        fn(&ServerConfig, &Policy) -> Vec<ServerHit>,
    ),
    /// The extension reports a source that it cannot read; no rule here decides.
    Unreadable,
}

/// A rule that tries passwords.
#[derive(Debug)]
pub struct Guess {
    /// Passwords that the subject's own name suggests, as a user would type them.
    pub by_name: fn(&Subject, &Policy) -> Vec<Vec<u8>>,
    /// Passwords that this server suggests for every subject. The word list is not among them.
    pub by_server: fn(&Policy) -> Vec<Vec<u8>>,
    /// The evidence of a hit. It never says which candidate was the password.
    pub evidence: &'static str,
}

/// A hit of a [`CheckKind::Server`] rule.
#[derive(Debug)]
pub struct ServerHit {
    /// Whether its severity is one step below the check's.
    pub lowered: bool,
    /// The setting or rule; a check has at most one hit for each.
    pub subject: String,
    /// Evidence without key material.
    pub evidence: String,
    /// See [`SubjectHit::context`].
    pub context: String,
}

impl ServerHit {
    /// The severity of what was found.
    pub fn severity(&self, check: &AuditCheck) -> Severity {
        if self.lowered { check.severity.lowered() } else { check.severity }
    }
}

/// The settings that the checks measure by.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `scram.client_max_iterations`.
    pub client_max_iterations: u32,
    /// `scram.expiry_warning`, in minutes; 0 turns the warning off.
    pub expiry_warning: i64,
    /// `scram.max_iterations`. The audit tries no candidate on a secret with more.
    pub max_iterations: u32,
    /// `scram.min_iterations`.
    pub min_iterations: u32,
    /// The count that the server answers for a role that does not exist.
    pub mock_iterations: i32,
    /// Names that users make passwords of: the server's databases and its host.
    pub names: Vec<String>,
    /// `scram.max_password_age`, in minutes; 0 turns the check off.
    pub max_password_age: i64,
    /// `scram.salt_length`, in bytes.
    pub salt_len: usize,
    /// The count that the server itself gives to new passwords.
    pub server_iterations: i32,
    /// The count that `scram.handshake_start` answers for an unknown user.
    pub target_iterations: i32,
    /// The current year, for passwords like `alice2026`.
    pub year: i32,
}

impl Policy {
    /// The lowest iteration count and salt length that the audit accepts.
    pub fn minimum(&self) -> Minimum {
        let iterations = NonZeroU32::new(self.min_iterations).unwrap_or(NonZeroU32::MIN);
        Minimum { iterations, salt_len: self.salt_len }
    }
}

/// Checks that judge by the rules of pg_hba.conf.
const READS_HBA: &[&str] =
    &["hba_md5", "hba_password", "hba_trust", "login_without_password", "no_matching_hba_rule"];

/// Ids of the checks that have no facts to judge by: those on the rules, where pg_hba.conf cannot be read.
/// Their earlier findings are neither confirmed nor fixed.
pub fn unjudged(server: &ServerConfig) -> &'static [&'static str] {
    if server.hba_file.error.is_some() { READS_HBA } else { &[] }
}

/// A check that hit a subject.
#[derive(Debug)]
pub struct SubjectHit {
    /// The check.
    pub check: &'static AuditCheck,
    /// The check's severity, or another one for this subject.
    pub severity: Severity,
    /// Evidence without key material.
    pub evidence: String,
    /// More evidence, shown after the other: the places of rules and the roles that they decide about. They move
    /// without a change of what was judged, so another context is no change of the finding.
    pub context: String,
}

/// Runs the checks that look at one subject alone and derive no keys: microseconds. Returns the hits in the
/// order of [`CHECKS`].
pub fn scan_subject(subject: &Subject, policy: &Policy) -> Vec<SubjectHit> {
    CHECKS
        .iter()
        .filter_map(|check| {
            let (evidence, context) = match &check.kind {
                CheckKind::Subject(rule) | CheckKind::SubjectOrServer(rule, _) => {
                    (rule(subject, policy)?, String::new())
                }
                CheckKind::SubjectInContext(rule, context) => {
                    (rule(subject, policy)?, context(subject))
                }
                CheckKind::Guess(_)
                | CheckKind::Server(_)
                | CheckKind::Shared
                | CheckKind::Unreadable => return None,
            };
            let (severity, evidence) = weighed(check, subject, evidence);
            Some(SubjectHit { check, severity, evidence, context })
        })
        .collect()
}

/// Runs the checks that look at the server, without the [`unjudged`] ones. Returns each check that hit, in the
/// order of [`CHECKS`].
pub fn scan_server(
    server: &ServerConfig,
    policy: &Policy,
) -> Vec<(&'static AuditCheck, ServerHit)> {
    let unjudged = unjudged(server);
    CHECKS
        .iter()
        .filter(|check| !unjudged.contains(&check.id))
        .filter_map(|check| match &check.kind {
            CheckKind::Server(rule) | CheckKind::SubjectOrServer(_, rule) => {
                Some(rule(server, policy).into_iter().map(move |hit| (check, hit)))
            }
            CheckKind::Guess(_)
            | CheckKind::Shared
            | CheckKind::Subject(_)
            | CheckKind::SubjectInContext(..)
            | CheckKind::Unreadable => None,
        })
        .flatten()
        .collect()
}

/// Tries the passwords that names suggest on subjects: all candidates but the word list. Returns for each
/// subject the checks that hit. `by_server`: the result of [`candidates_by_server`].
///
/// # Errors
///
/// Returns the errors of `search`, which runs the [`Search`] to its end on any number of threads.
pub fn guess_names<E>(
    subjects: &[Subject],
    policy: &Policy,
    by_server: &[Candidate],
    search: impl FnOnce(&Search<'_, Candidate>) -> Result<(), E>,
) -> Result<Vec<Vec<&'static AuditCheck>>, E> {
    let candidates: Vec<Vec<Candidate>> = subjects
        .iter()
        .map(|subject| {
            let mut candidates = candidates_by_name(subject, policy);
            candidates.extend_from_slice(by_server);
            candidates
        })
        .collect();
    let guesses: Vec<_> = subjects
        .iter()
        .zip(&candidates)
        .map(|(subject, candidates)| Guesses { subject, candidates })
        .collect();
    let hits = guess::guess(&guesses, policy, search)?;
    Ok(candidates
        .iter()
        .zip(hits)
        .map(|(candidates, hits)| checks_of(candidates, &hits, |candidate| candidate.check))
        .collect())
}

/// The check with this id.
pub fn check(id: &str) -> Option<&'static AuditCheck> {
    CHECKS.iter().find(|check| check.id == id)
}

/// The severity for this role: one step up for what it can do beyond its own data, one step down if it
/// cannot log in. The evidence says why.
///
/// A password that a check found out stays critical, because the stored run keeps no facts of the role with
/// it. A role without a password is no weaker for its powers, and [`password_without_login`](CHECKS) is
/// about NOLOGIN already.
fn weighed(check: &AuditCheck, subject: &Subject, evidence: String) -> (Severity, String) {
    let is_exempt = matches!(check.kind, CheckKind::Guess(_))
        || matches!(check.id, "login_without_password" | "password_without_login");
    let Some(role) = subject.role().filter(|_| !is_exempt) else {
        return (check.severity, evidence);
    };
    let mut evidence = evidence;
    if !role.powers.is_empty() {
        evidence += &format!("; the role has {}", role.powers.join(", "));
    }
    if !role.can_login {
        evidence += "; the role has NOLOGIN";
    }
    let severity = match (role.powers.is_empty(), role.can_login) {
        (false, true) => check.severity.raised(),
        (true, false) => check.severity.lowered(),
        _ => check.severity,
    };
    (severity, evidence)
}
