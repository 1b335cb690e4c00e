//! Rules on a role of the cluster.

use crate::hba::MatchedRule;
use crate::identify::Kind;
use crate::{Policy, RoleFacts, StoredSecret, Subject, ValidUntil};

/// The role, if it may log in with a password.
fn with_login_and_password(subject: &Subject) -> Option<&RoleFacts> {
    subject.role().filter(|role| role.can_login && subject.secret.is_some())
}

pub(super) fn login_without_password(subject: &Subject, _: &Policy) -> Option<String> {
    subject
        .role()
        .filter(|role| role.can_login && subject.secret.is_none())
        .map(|_| "LOGIN without a password".to_owned())
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

/// Reports only certain cases. An `Entry::Unknown` rule asks for something other than a password. A
/// role with a current password that no rule accepts is reported even then, and the evidence lists
/// the unknown rules. A role without a current password is not reported then, because it may not
/// need one.
pub(super) fn no_matching_hba_rule(subject: &Subject, _: &Policy) -> Option<String> {
    let role = subject.role().filter(|role| role.can_login)?;
    let meets = role.hba_rules.as_ref()?;
    let credential = LoginCredential::new(role, subject.secret.as_ref());
    let entries: Vec<_> = meets.iter().map(|met| (met, credential.admitted_by(met))).collect();
    if entries.iter().any(|(_, entry)| *entry == Entry::Yes) {
        return None;
    }
    let unknown = list(&entries, Entry::Unknown);
    if unknown.is_some() && !credential.is_current() {
        return None;
    }
    let has = credential.as_str();
    let closed = match list(&entries, Entry::No) {
        Some(closed) => format!("{has}, which does not open {closed}"),
        None if unknown.is_some() => format!("{has}, and no rule asks for a password"),
        None => format!("{has}, and no rule of pg_hba.conf fits"),
    };
    Some(match unknown {
        Some(unknown) => format!("{closed}; unknown is {unknown}"),
        None => closed,
    })
}

/// Whether a rule accepts the role's credential.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Entry {
    No,
    Unknown,
    Yes,
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

    fn is_current(&self) -> bool {
        matches!(self, Self::Md5 | Self::NoVerifier | Self::Scram)
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
    fn admitted_by(&self, met: &MatchedRule) -> Entry {
        let opens = match &*met.method {
            "trust" => return if met.password_alone { Entry::Yes } else { Entry::Unknown },
            "reject" => false,
            "scram-sha-256" => matches!(self, Self::Scram),
            "md5" | "password" => matches!(self, Self::Md5 | Self::Scram),
            _ => return Entry::Unknown,
        };
        match (opens, met.password_alone) {
            (false, _) => Entry::No,
            (true, false) => Entry::Unknown,
            (true, true) => Entry::Yes,
        }
    }
}

/// Some of the rules with this answer.
fn list(entries: &[(&MatchedRule, Entry)], wanted: Entry) -> Option<String> {
    const NAMED: usize = 3;

    let rules: Vec<_> = entries.iter().filter(|(_, entry)| *entry == wanted).collect();
    let named = rules.iter().take(NAMED);
    let named: Vec<_> =
        named.map(|(met, _)| format!("{} ({})", met.method, met.location)).collect();
    match rules.len() {
        0 => None,
        len if len > NAMED => Some(format!("{} and {} more", named.join(", "), len - NAMED)),
        _ => Some(named.join(", ")),
    }
}
