//! Whether a password is a role's, and whether it is a password.

use password_audit::Kind;
use scram_core::search::Md5Hash;
use scram_core::{Mechanism, Parameters, Password, Verifier};

use crate::cluster_keys::{ClusterKeys, MOCK_VERIFIER_TEXT};
use crate::error::Error;
use crate::guc;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::interrupt;
use crate::pg::random;
use crate::pg::scram_secret;
use crate::pg::text::ServerText;

/// Whether the stored secret belongs to this password. An unknown role costs at least as much as a
/// role with the target's iteration count.
///
/// A secret with more iterations than the cap matches no password.
pub(super) fn is_password_of(
    role: Option<&CatalogRole>,
    name: &ServerText,
    raw: &ServerText,
) -> Result<bool, Error> {
    let password = raw.password()?;
    let secret = role.and_then(|role| role.secret.as_ref());
    // If the role is unknown or has no secret, parse and derive for a mock verifier instead, so
    // that timing does not reveal it.
    let mock_secret = ServerText::from_bytes(MOCK_VERIFIER_TEXT.as_bytes());
    let verifier =
        scram_secret::stored_verifier(secret.unwrap_or(&mock_secret)).filter(|_| secret.is_some());
    let md5 = secret.and_then(|secret| Md5Hash::new(secret.as_ascii(), name.as_bytes()));
    let mock = ClusterKeys::load().role_mock_with_target(name.as_bytes())?;
    let is_real = verifier.is_some();
    let matches = verifier.unwrap_or(mock).verify(&password, interrupt::check);
    let matches_md5 = md5.is_some_and(|md5| md5.is_of(raw.as_bytes()));
    // An empty password matches no role: method "password" refuses it, and libpq does not send it.
    Ok(((matches & is_real) | matches_md5) & !password.is_empty())
}

/// A new verifier with the given count and a random salt of the set length.
pub(super) fn new_verifier(
    password: &Password,
    iterations: core::num::NonZeroU32,
) -> Result<Verifier, Error> {
    let salt = random::salt(guc::salt_length())?;
    let parameters = Parameters::new(Mechanism::ScramSha256, iterations, salt)?;
    Ok(Verifier::derive(parameters, password, interrupt::check))
}

/// Raises 22023 for a text that ALTER ROLE would store as it is, or that looks like a broken one of
/// these: the caller has a verifier and takes the wrong function, and the text would become the
/// password.
pub(super) fn require_plain_text(password: &ServerText) -> Result<(), Error> {
    let is_hash = match scram_secret::kind(password) {
        Kind::Md5 | Kind::ScramLax | Kind::ScramSha1 | Kind::ScramSha256 | Kind::ScramSha512 => {
            true
        }
        Kind::ScramMalformed => password.as_bytes().starts_with(b"SCRAM-SHA-"),
        _ => false,
    };
    if is_hash { Err(Error::HashAsPassword) } else { Ok(()) }
}
