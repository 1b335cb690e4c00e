//! Mock verifiers take the place of those that unknown users lack, so that an answer does not
//! reveal whether a user exists.

use std::num::NonZeroU32;

use sha2::{Digest, Sha256};

use crate::derivation::RootKey;
use crate::mechanism::Mechanism;
use crate::verifier::{MAX_SALT_LEN, ParameterError, Parameters, Verifier};

/// The salt length of PostgreSQL's own verifiers and mocks, in bytes (`SCRAM_DEFAULT_SALT_LEN`,
/// src/include/common/scram-common.h).
pub const POSTGRES_SALT_LEN: usize = 16;

/// The account that a mock is for. Salts of real accounts differ between realms, names and
/// mechanisms, so those of mocks do too.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The table of accounts: two tables have different salts for one name.
    pub realm: &'a [u8],
    /// The user's name.
    pub name: &'a [u8],
    /// The mechanism: a user has a salt for each.
    pub mechanism: Mechanism,
}

impl Account<'_> {
    fn context(&self, label: &'static str) -> [&[u8]; 4] {
        [label.as_bytes(), self.realm, self.mechanism.name().as_bytes(), self.name]
    }
}

/// A verifier that no password matches. An account gets the same one at every try, and on every
/// server with the same secret. Another account gets another one.
///
/// Keep `secret` on the servers, because it distinguishes mocks from users. `salt_len` is the
/// length in bytes of the real users' salts.
///
/// Pass it to [`crate::server::Credential::new`] with `usable` false.
///
/// # Errors
///
/// [`ParameterError`] if no real user could have such parameters.
pub fn verifier(
    secret: &RootKey,
    account: Account<'_>,
    iterations: NonZeroU32,
    salt_len: usize,
) -> Result<Verifier, ParameterError> {
    if salt_len > MAX_SALT_LEN {
        return Err(ParameterError::Salt);
    }
    let salt = secret.bytes(&account.context("mock salt"), salt_len).to_vec();
    Ok(with_parameters(secret, account, Parameters::new(account.mechanism, iterations, salt)?))
}

/// The mock of a role. For SCRAM-SHA-256 it has the salt and the count that PostgreSQL's own server
/// sends for an unknown role of this name, in the server's encoding. The server knows no other
/// mechanism, so that the mocks for the others have independent salts, like those of a real role.
///
/// `nonce`: the cluster's mock authentication nonce. `iterations`: the server's mock count.
///
/// Source: `scram_mock_salt` in src/backend/libpq/auth-scram.c.
///
/// # Errors
///
/// None that can happen with a count that fits.
pub fn postgres_verifier(
    secret: &RootKey,
    nonce: &[u8],
    account: Account<'_>,
    iterations: NonZeroU32,
) -> Result<Verifier, ParameterError> {
    if account.mechanism != Mechanism::ScramSha256 {
        return verifier(secret, account, iterations, POSTGRES_SALT_LEN);
    }
    let digest = Sha256::new().chain_update(account.name).chain_update(nonce).finalize();
    let salt = digest[..POSTGRES_SALT_LEN].to_vec();
    Ok(with_parameters(secret, account, Parameters::new(account.mechanism, iterations, salt)?))
}

fn with_parameters(secret: &RootKey, account: Account<'_>, parameters: Parameters) -> Verifier {
    let key = |label| secret.mechanism_key(account.mechanism, &account.context(label));
    Verifier::from_keys(parameters, key("mock StoredKey"), key("mock ServerKey"))
}
