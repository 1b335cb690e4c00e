//! Rules on a stored secret, of a role or of a registered source.

use crate::identify::{Kind, hash, is_locked};
use crate::{Origin, Policy, StoredSecret, Subject, client_limits};

pub(super) fn md5_hash(subject: &Subject, _: &Policy) -> Option<String> {
    (subject.secret.as_ref()?.kind() == Kind::Md5).then(|| "stored as md5".to_owned())
}

/// A stored text that begins like SCRAM but that the server does not accept as a hash. For a role,
/// every text that is neither MD5 nor SCRAM-SHA-256, because no password opens such a role.
pub(super) fn scram_malformed(subject: &Subject, _: &Policy) -> Option<String> {
    let secret = subject.secret.as_ref()?;
    let why = match secret.kind() {
        Kind::ScramMalformed => secret.flaw()?.to_string(),
        // A credential of another system with the same mechanism.
        Kind::ScramSha256 if secret.flaw().is_some() && subject.role().is_some() => {
            "its form is that of another system".to_owned()
        }
        Kind::Md5 | Kind::ScramLax | Kind::ScramSha256 => return None,
        kind if subject.role().is_some() => format!("its form is {kind}"),
        _ => return None,
    };
    Some(match subject.role() {
        Some(_) => format!("{why}; no password opens this role"),
        None => why,
    })
}

/// Rows of sources: for a role, [`scram_malformed`] reports every text that is no verifier.
pub(super) fn password_plain_text(subject: &Subject, _: &Policy) -> Option<String> {
    let secret = row_without_verifier(subject)?;
    if secret.kind() != Kind::Unknown || hash(secret.text()).is_some() {
        return None;
    }
    Some(match secret.unread_len() {
        Some(bytes) => {
            format!("{bytes} bytes, longer than any stored secret: not read")
        }
        None => "no form that is known: plain text must be assumed".to_owned(),
    })
}

/// [`md5_hash`] reports PostgreSQL's own MD5 hashes.
pub(super) fn hash_weak(subject: &Subject, _: &Policy) -> Option<String> {
    let weakness = hash(row_without_verifier(subject)?.text())?.weakness?;
    Some(format!("looks like {weakness}"))
}

pub(super) fn not_scram(subject: &Subject, _: &Policy) -> Option<String> {
    if !matches!(subject.origin, Origin::Registered { expects_scram: true, .. }) {
        return None;
    }
    let secret = row_without_verifier(subject)?;
    Some(match (secret.kind(), hash(secret.text())) {
        (Kind::Unknown, Some(_)) => "stored as a hash of few steps".to_owned(),
        (Kind::Unknown, None) => "no form that is known".to_owned(),
        (kind, _) => format!("stored as {kind}"),
    })
}

/// The secret of a source's row that no SCRAM handshake can use. Other checks report texts that only begin
/// like SCRAM.
fn row_without_verifier(subject: &Subject) -> Option<&StoredSecret> {
    let secret = subject.secret.as_ref().filter(|_| subject.role().is_none())?;
    match secret.kind() {
        Kind::Dovecot
        | Kind::Kafka
        | Kind::Mongodb
        | Kind::ScramLax
        | Kind::ScramMalformed
        | Kind::ScramSha1
        | Kind::ScramSha256
        | Kind::ScramSha512 => None,
        _ => Some(secret).filter(|secret| !is_locked(secret.text())),
    }
}

pub(super) fn scram_lax(subject: &Subject, _: &Policy) -> Option<String> {
    let secret = subject.secret.as_ref()?;
    if secret.kind() != Kind::ScramLax {
        return None;
    }
    let (why, iterations) = (secret.flaw()?, secret.iterations()?);
    let once = if iterations < 1 { " (counts as 1)" } else { "" };
    Some(format!(
        "{why}; this server serves it with an iteration count of {iterations}{once} and a salt of \
         {} bytes",
        secret.salt()?.len()
    ))
}

pub(super) fn iterations_below_policy(subject: &Subject, policy: &Policy) -> Option<String> {
    client_limits::too_few(subject, subject.secret.as_ref()?, policy)
}

pub(super) fn iterations_above_clients(subject: &Subject, policy: &Policy) -> Option<String> {
    client_limits::refused(subject, subject.secret.as_ref()?, policy)
}

/// The server's first answer carries the count before the client has proved anything. Rows of a source are
/// for `scram.handshake_start`, which answers with its own count.
pub(super) fn iterations_reveal_role(subject: &Subject, policy: &Policy) -> Option<String> {
    let secret = subject.secret.as_ref()?;
    let iterations = secret.iterations()?;
    let Origin::Role(role) = &subject.origin else {
        let is_served = matches!(subject.origin, Origin::Registered { client: None, .. })
            && matches!(
                secret.kind(),
                Kind::ScramLax | Kind::ScramSha1 | Kind::ScramSha256 | Kind::ScramSha512
            );
        return (is_served && iterations != policy.target_iterations)
            .then(|| format!("iteration count {iterations}"));
    };
    if !role.can_login {
        return None;
    }
    (iterations != policy.mock_iterations).then(|| {
        let mock = policy.mock_iterations;
        format!("iteration count {iterations}, the server answers {mock} for an unknown role")
    })
}
