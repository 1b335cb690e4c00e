//! The audit of stored password hashes: what is looked at, and what runs the checks over it.
//!
//! The checks themselves are entries of [`CHECKS`]. The SQL functions, the stored runs and the
//! documentation all read that one list. No evidence holds key material or a password.

mod checks;
mod clients;
mod guess;
pub mod hba;
mod subject;

use std::fmt;
use std::num::NonZeroU32;

use crate::search::Search;
use crate::verifier::Minimum;

pub use checks::CHECKS;
pub use clients::System;
pub use guess::{
    Candidate, attempt, checks_of, common_candidates, edition, is_tried, own_candidates,
    secret_digest,
};
pub use hba::HbaRule;
pub use subject::{Origin, Role, Secret, Seen, Served, Server, Subject, ValidUntil};

/// One thing that an audit looks for.
#[derive(Debug)]
pub struct Check {
    /// Part of the interface: never renamed, never used again for something else.
    pub id: &'static str,
    /// How bad a hit is.
    pub severity: Severity,
    /// A clause that says what was found.
    pub title: &'static str,
    /// A sentence that says what to type.
    pub remedy: &'static str,
    /// What decides.
    pub rule: Rule,
}

/// What a check looks at.
#[derive(Debug)]
pub enum Rule {
    /// All subjects at once, for what only a comparison shows.
    Cluster(fn(&[Subject], &Policy) -> Vec<Hit>),
    /// Passwords that one subject may have: derives keys, so it costs what the secret asks for.
    Guess(Guess),
    /// The server's settings and rules.
    Server(fn(&Server, &Policy) -> Vec<ServerHit>),
    /// One subject at a time; returns the evidence of a hit.
    Subject(fn(&Subject, &Policy) -> Option<String>),
    /// What a subject and the server can both have.
    SubjectOrServer(
        fn(&Subject, &Policy) -> Option<String>,
        fn(&Server, &Policy) -> Vec<ServerHit>,
    ),
    /// Whether a source can be read: known to who reads it.
    Unreadable,
}

/// A rule that tries passwords.
#[derive(Debug)]
pub struct Guess {
    /// What this subject's own data suggest, as it would be typed.
    pub own: fn(&Subject, &Policy) -> Vec<Vec<u8>>,
    /// What this server suggests for every subject. The word list comes from elsewhere.
    pub common: fn(&Policy) -> Vec<Vec<u8>>,
    /// The evidence of a hit: never says which candidate it was.
    pub evidence: &'static str,
}

/// A hit of a [`Rule::Cluster`].
#[derive(Debug)]
pub struct Hit {
    /// Index into the subjects.
    pub subject: usize,
    /// What was seen, without key material.
    pub evidence: String,
}

/// A hit of a [`Rule::Server`].
#[derive(Debug)]
pub struct ServerHit {
    /// The setting or rule; one check has at most one hit for each.
    pub subject: String,
    /// What was seen.
    pub evidence: String,
}

/// What the checks measure by: the settings of this server.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `scram.client_max_iterations`.
    pub client_max_iterations: u32,
    /// `scram.expiry_warning`, in minutes; 0 turns the warning off.
    pub expiry_warning: i64,
    /// `scram.max_iterations`: no candidate is tried on a secret with more.
    pub max_iterations: u32,
    /// `scram.min_iterations`.
    pub min_iterations: u32,
    /// What the server answers for a role that does not exist.
    pub mock_iterations: i32,
    /// Names of this server that passwords are made of: its databases and its host.
    pub names: Vec<String>,
    /// `scram.max_password_age`, in minutes; 0 turns the check off.
    pub max_password_age: i64,
    /// `scram.salt_length`, in bytes.
    pub salt_len: usize,
    /// The count that the server itself gives to new passwords.
    pub server_iterations: i32,
    /// The current year, for passwords like `alice2026`.
    pub year: i32,
}

impl Policy {
    /// The least that a stored verifier must have.
    pub fn minimum(&self) -> Minimum {
        let iterations = NonZeroU32::new(self.min_iterations).unwrap_or(NonZeroU32::MIN);
        Minimum { iterations, salt_len: self.salt_len }
    }
}

/// Something that a check found.
#[derive(Debug)]
pub struct Finding {
    /// `role`, `server`, or the name of a registered source.
    pub source: String,
    /// The name of the role, row, setting or rule.
    pub subject: String,
    /// What was looked for.
    pub check: &'static Check,
    /// What was seen, without key material.
    pub evidence: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Severity {
    /// The password is as good as known.
    Critical,
    /// Worth knowing.
    Notice,
    /// Weaker than it has to be, or about to fail.
    Warning,
}

impl Severity {
    /// The label that SQL sees. Part of the interface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Notice => "notice",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Runs every check but the word list, in the order of [`CHECKS`].
///
/// # Errors
///
/// Those of `search`, which works each [`Search`] off, on as many threads as it likes.
pub fn run<E>(
    subjects: &[Subject],
    server: &Server,
    policy: &Policy,
    mut search: impl FnMut(&Search<'_, Candidate>) -> Result<(), E>,
) -> Result<Vec<Finding>, E> {
    let common = common_candidates(policy);
    let mut guessed = Vec::new();
    for subject in subjects.iter().filter(|subject| is_tried(subject, policy)) {
        let mut candidates = own_candidates(subject, policy);
        candidates.extend_from_slice(&common);
        let hits = attempt(subject, policy, &candidates, &mut search)?;
        let checks = checks_of(&candidates, &hits, |candidate| candidate.check);
        guessed.extend(checks.into_iter().map(|check| (check, subject)));
    }
    Ok(CHECKS
        .iter()
        .flat_map(|check| match &check.rule {
            Rule::Guess(guess) => guessed
                .iter()
                .filter(|(hit, _)| hit.id == check.id)
                .map(|(_, subject)| finding(check, subject, guess.evidence.to_owned()))
                .collect(),
            _ => scan_check(check, subjects, server, policy),
        })
        .collect())
}

/// Runs the checks that derive no keys: linear in the subjects, microseconds for each.
pub fn scan(subjects: &[Subject], server: &Server, policy: &Policy) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| scan_check(check, subjects, server, policy)).collect()
}

/// Runs the checks that look at one subject alone and derive no keys.
///
/// For sources of any size, which are never in memory as a whole.
pub fn scan_one(subject: &Subject, policy: &Policy) -> Vec<(&'static Check, String)> {
    CHECKS
        .iter()
        .filter_map(|check| match &check.rule {
            Rule::Subject(rule) | Rule::SubjectOrServer(rule, _) => {
                Some((check, rule(subject, policy)?))
            }
            Rule::Cluster(_) | Rule::Guess(_) | Rule::Server(_) | Rule::Unreadable => None,
        })
        .collect()
}

/// The check with this id.
pub fn check(id: &str) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.id == id)
}

fn scan_check(
    check: &'static Check,
    subjects: &[Subject],
    server: &Server,
    policy: &Policy,
) -> Vec<Finding> {
    match &check.rule {
        Rule::Cluster(rule) => rule(subjects, policy)
            .into_iter()
            .filter_map(|Hit { subject, evidence }| {
                Some(finding(check, subjects.get(subject)?, evidence))
            })
            .collect(),
        Rule::Guess(_) | Rule::Unreadable => Vec::new(),
        Rule::Server(rule) => on_server(check, rule(server, policy)),
        Rule::Subject(rule) => on_subjects(check, subjects, |subject| rule(subject, policy)),
        Rule::SubjectOrServer(subject_rule, server_rule) => {
            let mut findings =
                on_subjects(check, subjects, |subject| subject_rule(subject, policy));
            findings.extend(on_server(check, server_rule(server, policy)));
            findings
        }
    }
}

fn on_subjects(
    check: &'static Check,
    subjects: &[Subject],
    rule: impl Fn(&Subject) -> Option<String>,
) -> Vec<Finding> {
    subjects.iter().filter_map(|subject| Some(finding(check, subject, rule(subject)?))).collect()
}

fn on_server(check: &'static Check, hits: Vec<ServerHit>) -> Vec<Finding> {
    hits.into_iter()
        .map(|ServerHit { subject, evidence }| Finding {
            source: "server".to_owned(),
            subject,
            check,
            evidence,
        })
        .collect()
}

fn finding(check: &'static Check, subject: &Subject, evidence: String) -> Finding {
    Finding {
        source: subject.origin.name().to_owned(),
        subject: subject.name.clone(),
        check,
        evidence,
    }
}
