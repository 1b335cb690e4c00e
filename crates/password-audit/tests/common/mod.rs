//! Subjects and a run of all checks, for the tests of this crate.
#![allow(dead_code, reason = "each test file uses a part")]

use std::convert::Infallible;
use std::num::NonZeroU32;

use password_audit::{
    self, AuditCheck, CHECKS, ClientKind, Origin, ParsedSecret, Policy, RoleFacts, ServerConfig,
    Severity, StoredSecret, Subject, ValidUntil,
};
use scram_core::{Mechanism, Parameters, Password, Verifier};
use zeroize::Zeroizing;

pub(crate) const SALT: &[u8] = b"\x000123456789abcde";

/// A hit of a check.
pub(crate) struct Found {
    pub check: &'static AuditCheck,
    pub severity: Severity,
    pub evidence: String,
}

/// The ids of the checks that hit, in the order of the report.
pub(crate) fn found(subjects: &[Subject], server: &ServerConfig) -> Vec<&'static str> {
    ids(&run(subjects, server, &policy()))
}

pub(crate) fn ids(findings: &[Found]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.check.id).collect()
}

/// Every check on these subjects and this server, in the order of the report; the word list apart.
pub(crate) fn run(subjects: &[Subject], server: &ServerConfig, policy: &Policy) -> Vec<Found> {
    let by_server = password_audit::candidates_by_server(policy);
    let guessed: Result<_, Infallible> =
        password_audit::guess_names(subjects, policy, &by_server, |search| {
            search.work(|| ());
            Ok(())
        });
    let mut found = Vec::new();
    for (subject, guessed) in subjects.iter().zip(guessed.expect("it cannot fail")) {
        found.extend(guessed.into_iter().map(|check| Found {
            check,
            severity: check.severity,
            evidence: check.guess_evidence().unwrap_or_default().to_owned(),
        }));
        let scanned = password_audit::scan_subject(subject, policy);
        found.extend(scanned.into_iter().map(|hit| Found {
            check: hit.check,
            severity: hit.severity,
            evidence: hit.evidence,
        }));
    }
    let server = password_audit::scan_server(server, policy);
    found.extend(server.into_iter().map(|(check, hit)| Found {
        check,
        severity: hit.severity(check),
        evidence: hit.evidence,
    }));
    let place = |found: &Found| CHECKS.iter().position(|check| check.id == found.check.id);
    found.sort_by_key(place);
    found
}

pub(crate) fn policy() -> Policy {
    Policy {
        client_max_iterations: 5000,
        expiry_warning: 60,
        max_iterations: 6000,
        min_iterations: 4096,
        mock_iterations: 4096,
        names: Vec::new(),
        max_password_age: 0,
        salt_len: 16,
        server_iterations: 4096,
        target_iterations: 4096,
        year: 2026,
    }
}

/// With the settings' defaults.
pub(crate) fn default_policy() -> Policy {
    Policy {
        client_max_iterations: 100_000,
        expiry_warning: 0,
        max_iterations: 1_000_000,
        ..policy()
    }
}

/// A role that may log in until next year.
pub(crate) fn role(name: &str, secret: Option<StoredSecret>) -> Subject {
    let valid_until = ValidUntil::At { minutes: 500_000, text: "next year".to_owned() };
    let role = RoleFacts { valid_until, ..RoleFacts::of_login(false, false) };
    Subject {
        name: name.to_owned(),
        name_bytes: name.as_bytes().to_vec(),
        origin: Origin::Role(role),
        secret,
    }
}

pub(crate) fn group() -> RoleFacts {
    RoleFacts { can_login: false, ..RoleFacts::of_login(false, false) }
}

/// A row of a registered source.
pub(crate) fn row(name: &str, client: Option<ClientKind>, secret: Option<StoredSecret>) -> Subject {
    let origin = Origin::Registered { name: "app".into(), client, expects_scram: false };
    Subject { origin, ..role(name, secret) }
}

pub(crate) fn expecting_scram(secret: Option<StoredSecret>) -> Subject {
    let origin = Origin::Registered { name: "app".into(), client: None, expects_scram: true };
    Subject { origin, ..role("a", secret) }
}

/// The harmless role with one thing changed.
pub(crate) fn with(change: impl FnOnce(&mut RoleFacts)) -> Subject {
    let mut subject = role("bob", strict("pw", 4096, SALT));
    if let Origin::Role(role) = &mut subject.origin {
        change(role);
    }
    subject
}

pub(crate) fn until(valid_until: ValidUntil) -> Subject {
    with(|role| role.valid_until = valid_until)
}

/// A secret that the server does not accept as a hash.
pub(crate) fn plain(text: &str) -> Option<StoredSecret> {
    Some(StoredSecret::parse(Zeroizing::new(text.to_owned()), |_| None))
}

/// A SCRAM-SHA-256 verifier in the strict form.
pub(crate) fn strict(password: &str, iterations: u32, salt: &[u8]) -> Option<StoredSecret> {
    Some(StoredSecret::parse(Zeroizing::new(verifier(password, iterations, salt)), |_| {
        panic!("asked about a strict one")
    }))
}

pub(crate) fn verifier(password: &str, iterations: u32, salt: &[u8]) -> String {
    text_of(Mechanism::ScramSha256, password, iterations, salt)
}

pub(crate) fn text_of(
    mechanism: Mechanism,
    password: &str,
    iterations: u32,
    salt: &[u8],
) -> String {
    derive(mechanism, &Password::prepare(password.as_bytes()), iterations, salt)
}

pub(crate) fn derive(
    mechanism: Mechanism,
    password: &Password,
    iterations: u32,
    salt: &[u8],
) -> String {
    let iterations = NonZeroU32::new(iterations).expect("positive");
    let parameters = Parameters::new(mechanism, iterations, salt.to_vec()).expect("parameters");
    Verifier::derive(parameters, password, || ()).to_string()
}

/// A verifier as the server reads it.
pub(crate) fn served(text: &str, iterations: i32) -> ParsedSecret {
    let verifier: Verifier = text.parse().expect("a verifier");
    ParsedSecret {
        iterations,
        salt: verifier.salt().to_vec(),
        server_key: verifier.server_key().clone(),
        stored_key: verifier.stored_key().clone(),
    }
}

pub(crate) fn md5_of(password: &str, name: &str) -> String {
    use md5::Digest;

    let hash = md5::Md5::digest(format!("{password}{name}"));
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("md5{digits}")
}
