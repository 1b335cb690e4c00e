//! The audit of stored password hashes: what is looked at, and what runs the checks over it.
//!
//! The checks themselves are entries of [`CHECKS`]. The SQL functions, the stored runs and the
//! documentation all read that one list. No evidence holds key material or a password.

mod checks;
mod guess;
mod subject;

use std::fmt;

use crate::keys::Key;

pub use checks::CHECKS;
pub use subject::{HbaRule, Origin, Role, Secret, Served, Server, Subject, ValidUntil};

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
}

/// A rule that tries passwords.
#[derive(Debug)]
pub struct Guess {
    /// What to try on this subject, as it would be typed.
    pub candidates: fn(&Subject, &Policy) -> Vec<Vec<u8>>,
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
    /// `scram.client_iterations`.
    pub client_iterations: u32,
    /// `scram.expiry_warning`, in minutes; 0 turns the warning off.
    pub expiry_warning: i64,
    /// `scram.max_iterations`: no candidate is tried on a secret with more.
    pub max_iterations: u32,
    /// `scram.min_iterations`.
    pub min_iterations: u32,
    /// What the server answers for a role that does not exist.
    pub mock_iterations: i32,
    /// The count that the server itself gives to new passwords.
    pub server_iterations: i32,
    /// The current year, for passwords like `alice2026`.
    pub year: i32,
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

/// Runs every check, in the order of [`CHECKS`].
///
/// `tick` is called at least between two derivations, and within long ones.
pub fn run(
    subjects: &[Subject],
    server: &Server,
    policy: &Policy,
    mut tick: impl FnMut(),
) -> Vec<Finding> {
    CHECKS
        .iter()
        .flat_map(|check| match &check.rule {
            Rule::Guess(_) => subjects
                .iter()
                .filter_map(|subject| try_guess(check, subject, policy, &mut tick))
                .collect(),
            _ => scan_check(check, subjects, server, policy),
        })
        .collect()
}

/// Runs the checks that derive no keys: linear in the subjects, microseconds for each.
pub fn scan(subjects: &[Subject], server: &Server, policy: &Policy) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| scan_check(check, subjects, server, policy)).collect()
}

/// Tries the passwords of one check on one subject.
///
/// `None` for other checks than [`Rule::Guess`] and for what can't be tried, see [`workload`].
pub fn try_guess(
    check: &'static Check,
    subject: &Subject,
    policy: &Policy,
    tick: impl FnMut(),
) -> Option<Finding> {
    let Rule::Guess(Guess { candidates, evidence }) = &check.rule else { return None };
    let secret = subject.secret.as_ref()?;
    guess::fits_any(secret, subject, &candidates(subject, policy), policy, tick)
        .then(|| finding(check, subject, (*evidence).to_owned()))
}

/// How many candidates [`try_guess`] would try: 0 where the secret is of a kind that isn't tried,
/// or asks for more iterations than [`Policy::max_iterations`].
pub fn workload(check: &Check, subject: &Subject, policy: &Policy) -> usize {
    match (&check.rule, &subject.secret) {
        (Rule::Guess(Guess { candidates, .. }), Some(secret))
            if guess::is_possible(secret, policy) =>
        {
            candidates(subject, policy).len()
        }
        _ => 0,
    }
}

/// A keyed digest of the secret and of the candidates of one check: as long as it stays the same,
/// trying again would have the same result.
pub fn workload_digest(key: &Key, check: &Check, subject: &Subject, policy: &Policy) -> Key {
    let candidates = match &check.rule {
        Rule::Guess(Guess { candidates, .. }) => candidates(subject, policy),
        _ => Vec::new(),
    };
    guess::digest(key, check.id, subject, &candidates)
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
        Rule::Guess(_) => Vec::new(),
        Rule::Server(rule) => rule(server, policy)
            .into_iter()
            .map(|ServerHit { subject, evidence }| Finding {
                source: "server".to_owned(),
                subject,
                check,
                evidence,
            })
            .collect(),
        Rule::Subject(rule) => subjects
            .iter()
            .filter_map(|subject| Some(finding(check, subject, rule(subject, policy)?)))
            .collect(),
    }
}

fn finding(check: &'static Check, subject: &Subject, evidence: String) -> Finding {
    Finding {
        source: subject.origin.name().to_owned(),
        subject: subject.name.clone(),
        check,
        evidence,
    }
}
