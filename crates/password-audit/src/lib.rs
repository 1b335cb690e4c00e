//! The audit of stored passwords: the facts that it looks at, and the checks that judge them.
//!
//! [`CHECKS`] lists every check. The SQL functions, the stored runs, the report and the documentation
//! all read that one list. Evidence never holds key material or a password.
#![forbid(unsafe_code)]

mod checks;
mod client_limits;
mod guess;
pub mod hba;
pub mod identify;
mod severity;
mod subject;

use std::num::NonZeroU32;

use scram_core::search::Search;
use scram_core::verifier::Minimum;

pub use checks::CHECKS;
pub use client_limits::ClientKind;
pub use guess::{
    Candidate, candidates_by_name, candidates_by_server, checks_of, guess, guess_version, is_tried,
    secret_digest,
};
pub use hba::HbaRule;
pub use identify::{Kind, identify};
pub use severity::Severity;
pub use subject::{
    FirstSeen, HashFunction, Origin, ParsedSecret, RoleFacts, ServerConfig, StoredSecret, Subject,
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

/// The rule of a check, by the facts that it needs.
#[derive(Debug)]
pub enum CheckKind {
    /// Compares all subjects with each other.
    Cluster(fn(&[Subject], &Policy) -> Vec<Hit>),
    /// Tries passwords on one subject. Derives keys, so the stored iteration count sets the cost.
    Guess(Guess),
    /// Judges the server's settings and rules.
    Server(fn(&ServerConfig, &Policy) -> Vec<ServerHit>),
    /// Judges one subject at a time; returns the evidence of a hit.
    Subject(fn(&Subject, &Policy) -> Option<String>),
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

/// A hit of a [`CheckKind::Cluster`] rule.
#[derive(Debug)]
pub struct Hit {
    /// Index into the subjects.
    pub subject: usize,
    /// Evidence without key material.
    pub evidence: String,
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

/// A weakness that a check found.
#[derive(Debug)]
pub struct Finding {
    /// `role`, `server`, or the name of a registered source.
    pub source: String,
    /// The name of the role, row, setting or rule.
    pub subject: String,
    /// The check.
    pub check: &'static AuditCheck,
    /// The check's severity, or another one for what was found.
    pub severity: Severity,
    /// Evidence without key material.
    pub evidence: String,
}

/// What the checks found, and what they could not judge.
#[derive(Debug)]
pub struct Outcome {
    /// In the order of [`CHECKS`].
    pub findings: Vec<Finding>,
    /// Ids of the checks that had no facts. Their earlier findings are neither confirmed nor fixed.
    pub unjudged: Vec<&'static str>,
}

/// Checks that judge by the rules of pg_hba.conf.
const READS_HBA: &[&str] =
    &["hba_md5", "hba_password", "hba_trust", "login_without_password", "no_matching_hba_rule"];

/// The checks that have no facts to judge by: those on the rules, where pg_hba.conf cannot be read.
pub fn unjudged(server: &ServerConfig) -> Vec<&'static str> {
    if server.hba_file.error.is_some() { READS_HBA.to_vec() } else { Vec::new() }
}

/// Runs every check except the word list, in the order of [`CHECKS`].
///
/// # Errors
///
/// Returns the errors of `search`, which runs each [`Search`] to its end on any number of threads.
pub fn run<E>(
    subjects: &[Subject],
    server: &ServerConfig,
    policy: &Policy,
    mut search: impl FnMut(&Search<'_, Candidate>) -> Result<(), E>,
) -> Result<Outcome, E> {
    let by_server = candidates_by_server(policy);
    let mut guessed = Vec::new();
    for subject in subjects.iter().filter(|subject| is_tried(subject, policy)) {
        let mut candidates = candidates_by_name(subject, policy);
        candidates.extend_from_slice(&by_server);
        let hits = guess::guess(subject, policy, &candidates, &mut search)?;
        let checks = checks_of(&candidates, &hits, |candidate| candidate.check);
        guessed.extend(checks.into_iter().map(|check| (check, subject)));
    }
    Ok(outcome(server, |check| match &check.kind {
        CheckKind::Guess(guess) => guessed
            .iter()
            .filter(|(hit, _)| hit.id == check.id)
            .map(|(_, subject)| finding(check, subject, guess.evidence.to_owned()))
            .collect(),
        _ => scan_check(check, subjects, server, policy),
    }))
}

/// Runs the checks that derive no keys: linear in the subjects, microseconds for each.
pub fn scan(subjects: &[Subject], server: &ServerConfig, policy: &Policy) -> Outcome {
    outcome(server, |check| scan_check(check, subjects, server, policy))
}

fn outcome(server: &ServerConfig, judge: impl Fn(&'static AuditCheck) -> Vec<Finding>) -> Outcome {
    let unjudged = unjudged(server);
    let judged = CHECKS.iter().filter(|check| !unjudged.contains(&check.id));
    Outcome { findings: judged.flat_map(judge).collect(), unjudged }
}

/// Runs the checks that look at one subject alone and derive no keys.
///
/// For sources of any size, which are never in memory as a whole.
pub fn scan_one(subject: &Subject, policy: &Policy) -> Vec<(&'static AuditCheck, String)> {
    CHECKS
        .iter()
        .filter_map(|check| match &check.kind {
            CheckKind::Subject(rule) | CheckKind::SubjectOrServer(rule, _) => {
                Some((check, rule(subject, policy)?))
            }
            CheckKind::Cluster(_)
            | CheckKind::Guess(_)
            | CheckKind::Server(_)
            | CheckKind::Unreadable => None,
        })
        .collect()
}

/// The check with this id.
pub fn check(id: &str) -> Option<&'static AuditCheck> {
    CHECKS.iter().find(|check| check.id == id)
}

fn scan_check(
    check: &'static AuditCheck,
    subjects: &[Subject],
    server: &ServerConfig,
    policy: &Policy,
) -> Vec<Finding> {
    match &check.kind {
        CheckKind::Cluster(rule) => rule(subjects, policy)
            .into_iter()
            .filter_map(|Hit { subject, evidence }| {
                Some(finding(check, subjects.get(subject)?, evidence))
            })
            .collect(),
        CheckKind::Guess(_) | CheckKind::Unreadable => Vec::new(),
        CheckKind::Server(rule) => on_server(check, rule(server, policy)),
        CheckKind::Subject(rule) => on_subjects(check, subjects, |subject| rule(subject, policy)),
        CheckKind::SubjectOrServer(subject_rule, server_rule) => {
            let mut findings =
                on_subjects(check, subjects, |subject| subject_rule(subject, policy));
            findings.extend(on_server(check, server_rule(server, policy)));
            findings
        }
    }
}

fn on_subjects(
    check: &'static AuditCheck,
    subjects: &[Subject],
    rule: impl Fn(&Subject) -> Option<String>,
) -> Vec<Finding> {
    subjects.iter().filter_map(|subject| Some(finding(check, subject, rule(subject)?))).collect()
}

fn on_server(check: &'static AuditCheck, hits: Vec<ServerHit>) -> Vec<Finding> {
    hits.into_iter()
        .map(|ServerHit { lowered, subject, evidence }| Finding {
            source: "server".to_owned(),
            subject,
            check,
            severity: if lowered { check.severity.lowered() } else { check.severity },
            evidence,
        })
        .collect()
}

fn finding(check: &'static AuditCheck, subject: &Subject, evidence: String) -> Finding {
    let (severity, evidence) = weighed(check, subject, evidence);
    Finding {
        source: subject.origin.name().to_owned(),
        subject: subject.name.clone(),
        check,
        severity,
        evidence,
    }
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
