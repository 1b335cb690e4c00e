//! Rules on a role of the cluster.

use std::collections::BTreeSet;

use crate::hba::{self, MatchedRule};
use crate::identify::Kind;
use crate::{Policy, RoleFacts, StoredSecret, Subject, ValidUntil};

/// The role, if it may log in with a password.
fn with_login_and_password(subject: &Subject) -> Option<&RoleFacts> {
    subject.role().filter(|role| role.can_login && subject.secret.is_some())
}

/// Silent about a role that a rule authenticates without the stored password.
pub(super) fn login_without_password(subject: &Subject, _: &Policy) -> Option<String> {
    let role = subject.role().filter(|role| role.can_login && subject.secret.is_none())?;
    let met = role.hba_rules.as_deref().unwrap_or_default();
    met.iter()
        .all(|met| hba::uses_stored_password(&met.method))
        .then(|| "LOGIN without a password".to_owned())
}

pub(super) fn password_without_login(subject: &Subject, _: &Policy) -> Option<String> {
    subject
        .role()
        .filter(|role| !role.can_login && subject.secret.is_some())
        .map(|_| "a password with NOLOGIN".to_owned())
}

pub(super) fn password_expired(subject: &Subject, _: &Policy) -> Option<String> {
    match &with_login_and_password(subject)?.valid_until {
        ValidUntil::At { minutes, text } if *minutes < 0 => Some(format!("expired at {text}")),
        _ => None,
    }
}

pub(super) fn password_expires_soon(subject: &Subject, policy: &Policy) -> Option<String> {
    match &with_login_and_password(subject)?.valid_until {
        ValidUntil::At { minutes, text } if (0..policy.expiry_warning).contains(minutes) => {
            Some(format!("expires at {text}"))
        }
        _ => None,
    }
}

pub(super) fn password_never_expires(subject: &Subject, _: &Policy) -> Option<String> {
    match &with_login_and_password(subject)?.valid_until {
        ValidUntil::At { .. } => None,
        ValidUntil::Never => Some("no VALID UNTIL".to_owned()),
    }
}

/// The server stores no time with a password: its age is counted from the first audit that saw it.
pub(super) fn password_unchanged(subject: &Subject, policy: &Policy) -> Option<String> {
    let seen = subject.role()?.first_seen.as_ref()?;
    (policy.max_password_age > 0 && seen.minutes >= policy.max_password_age)
        .then(|| format!("an audit saw this very password first at {}; it may be older", seen.text))
}

pub(super) fn role_setting_override(subject: &Subject, _: &Policy) -> Option<String> {
    subject.role()?.overrides.clone()
}

pub(super) fn hash_readable(subject: &Subject, _: &Policy) -> Option<String> {
    subject.role()?.hash_access.clone()
}

/// Reports only certain cases. A rule whose method asks for something other than the stored password
/// may let the role in.
pub(super) fn no_matching_hba_rule(subject: &Subject, _: &Policy) -> Option<String> {
    let role = subject.role().filter(|role| role.can_login)?;
    let met = role.hba_rules.as_ref()?;
    let credential = LoginCredential::new(role, subject.secret.as_ref());
    if met.iter().any(|met| credential.may_pass(met)) {
        return None;
    }
    let has = credential.as_str();
    Some(match met.len() {
        0 => format!("{has}, and no rule of pg_hba.conf fits"),
        _ => format!("{has}, which does not open {}", methods(met)),
    })
}

/// The credential that a role logs in with.
enum LoginCredential {
    Expired,
    Md5,
    NoVerifier,
    Nothing,
    Scram,
}

impl LoginCredential {
    fn new(role: &RoleFacts, secret: Option<&StoredSecret>) -> Self {
        let Some(secret) = secret else { return Self::Nothing };
        match &role.valid_until {
            ValidUntil::At { minutes, .. } if *minutes < 0 => Self::Expired,
            _ => match secret.kind() {
                Kind::Md5 => Self::Md5,
                Kind::ScramLax | Kind::ScramSha256 => Self::Scram,
                _ => Self::NoVerifier,
            },
        }
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::Expired => "an expired password",
            Self::Md5 => "an MD5 hash",
            Self::NoVerifier => "a stored text that is no verifier",
            Self::Nothing => "no password",
            Self::Scram => "a SCRAM verifier",
        }
    }

    /// Follows `ClientAuthentication` in PostgreSQL's `src/backend/libpq/auth.c`: method `md5` runs
    /// SCRAM for a role with a SCRAM verifier, but method `scram-sha-256` never runs MD5.
    fn may_pass(&self, met: &MatchedRule) -> bool {
        match &*met.method {
            "reject" => false,
            "scram-sha-256" => matches!(self, Self::Scram),
            "md5" | "password" => matches!(self, Self::Md5 | Self::Scram),
            // trust asks for nothing, and the others do not use the stored password.
            _ => true,
        }
    }
}

/// The methods of these rules, each once.
fn methods(rules: &[MatchedRule]) -> String {
    let methods: BTreeSet<&str> = rules.iter().map(|met| &*met.method).collect();
    methods.into_iter().collect::<Vec<_>>().join(" or ")
}

/// The places of the rules that decide about the role.
pub(super) fn deciding_rules(subject: &Subject) -> String {
    const NAMED: usize = 3;

    let rules = subject.role().and_then(|role| role.hba_rules.as_deref()).unwrap_or_default();
    if rules.is_empty() {
        return String::new();
    }
    let named: Vec<_> = rules.iter().take(NAMED).map(|met| &*met.location).collect();
    let others = rules.len() - named.len();
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    format!(" ({}{more})", named.join(", "))
}
