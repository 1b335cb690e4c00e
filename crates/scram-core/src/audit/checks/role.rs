//! Rules on a role of the cluster.

use crate::audit::{Policy, Role, Subject, ValidUntil};

/// The role, if it may log in with a password.
fn with_login_and_password(subject: &Subject) -> Option<&Role> {
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
    (policy.password_age > 0 && seen.minutes >= policy.password_age)
        .then(|| format!("an audit saw this very password first at {}; it may be older", seen.text))
}

pub(super) fn role_setting_override(subject: &Subject, _: &Policy) -> Option<String> {
    subject.role()?.overrides.clone()
}

pub(super) fn hash_readable(subject: &Subject, _: &Policy) -> Option<String> {
    subject.role()?.hash_access.clone()
}
