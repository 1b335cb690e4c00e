//! Whether a password is a role's.

use scram_core::search::Md5Hash;
use scram_core::{Mechanism, Parameters, Password, Verifier};

use crate::cluster_keys::{ClusterKeys, MOCK_VERIFIER_TEXT};
use crate::error::Error;
use crate::guc;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::interrupt;
use crate::pg::random;
use crate::pg::scram_secret::ParsedSecret;
use crate::pg::text::ServerText;

/// Whether the stored secret is of this password, for a role or none: the cost is at least that of
/// the target's count in any case.
///
/// A secret that would take more iterations than the cap is nobody's.
pub(super) fn is_password_of(
    role: Option<&CatalogRole>,
    name: &ServerText,
    raw: &ServerText,
) -> Result<bool, Error> {
    let password = raw.password()?;
    let secret = role.and_then(|role| role.secret.as_ref());
    // Where there is nothing to read or to derive, something of nobody's is: the cost is the same.
    let nobodys = ServerText::from_bytes(MOCK_VERIFIER_TEXT.as_bytes());
    let verifier = stored_verifier(secret.unwrap_or(&nobodys)).filter(|_| secret.is_some());
    let md5 = secret.and_then(|secret| Md5Hash::new(secret.as_ascii(), name.as_bytes()));
    let decoy = ClusterKeys::of_this_cluster().role_mock_with_target(name.as_bytes())?;
    let is_real = verifier.is_some();
    let matches = verifier.unwrap_or(decoy).verify(&password, interrupt::check);
    let matches_md5 = md5.is_some_and(|md5| md5.is_of(raw.as_bytes()));
    // The server lets nobody in with an empty password, whatever is stored.
    Ok(((matches & is_real) | matches_md5) & !password.is_empty())
}

/// A stored secret as this server reads it, if keys may be derived for it.
pub(super) fn stored_verifier(secret: &ServerText) -> Option<Verifier> {
    let verifier = ParsedSecret::parse(secret.as_bytes())?.decoded()?.verifier()?;
    (verifier.iterations().get() <= guc::max_iterations()).then_some(verifier)
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
