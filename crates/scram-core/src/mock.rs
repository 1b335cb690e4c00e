//! What an unknown user is challenged with, so that the answer tells nobody that he is unknown.

use std::num::NonZeroU32;

use sha2::{Digest, Sha256};

use crate::keys::Key;
use crate::mechanism::Mechanism;
use crate::verifier::{ParameterError, Parameters, Verifier};

/// The salt length of PostgreSQL's own verifiers and mocks, in bytes (`SCRAM_DEFAULT_SALT_LEN`,
/// src/include/common/scram-common.h).
pub const POSTGRES_SALT_LEN: usize = 16;

/// A verifier that belongs to nobody: the same for the same name at every try and on every server
/// with the same secret, another one for another name.
///
/// `secret` is known to the servers only: whoever knows it can tell mocks from users. `salt_len` in
/// bytes: that of the verifiers which real users have.
///
/// Its keys are no keys of any password; give it to [`crate::server::Candidate::new`] as not usable
/// all the same.
///
/// # Errors
///
/// [`ParameterError`] if no real user could have such parameters.
pub fn verifier(
    secret: &Key,
    mechanism: Mechanism,
    username: &str,
    iterations: NonZeroU32,
    salt_len: usize,
) -> Result<Verifier, ParameterError> {
    let salt = expand(secret, b"salt", username, salt_len);
    let parameters = Parameters::new(mechanism, iterations, salt)?;
    Ok(with_parameters(secret, username.as_bytes(), parameters))
}

/// A verifier that belongs to nobody, with the very salt and count that PostgreSQL's own server
/// answers with for this role name.
///
/// `nonce`: the cluster's mock authentication nonce. `role`: its name in the server's encoding.
/// `iterations`: that server's mock count. The server itself knows SCRAM-SHA-256 only.
///
/// Source: `scram_mock_salt` in src/backend/libpq/auth-scram.c.
///
/// # Errors
///
/// None that can happen with a count that fits.
pub fn postgres_verifier(
    secret: &Key,
    nonce: &[u8],
    mechanism: Mechanism,
    role: &[u8],
    iterations: NonZeroU32,
) -> Result<Verifier, ParameterError> {
    let digest = Sha256::new().chain_update(role).chain_update(nonce).finalize();
    let salt = digest[..POSTGRES_SALT_LEN].to_vec();
    let parameters = Parameters::new(mechanism, iterations, salt)?;
    Ok(with_parameters(secret, role, parameters))
}

fn with_parameters(secret: &Key, username: &[u8], parameters: Parameters) -> Verifier {
    let mechanism = parameters.mechanism();
    let key = |label| secret.hmac(mechanism, &[label, b"\0", username]);
    Verifier::from_keys(parameters, key(b"StoredKey"), key(b"ServerKey"))
}

/// `len` bytes: HMAC-SHA-256 in counter mode.
fn expand(secret: &Key, label: &[u8], username: &str, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + Mechanism::ScramSha256.key_len());
    for block in 0_u32.. {
        if bytes.len() >= len {
            break;
        }
        let parts = [label, b"\0", &block.to_be_bytes(), username.as_bytes()];
        bytes.extend_from_slice(secret.hmac(Mechanism::ScramSha256, &parts).as_bytes());
    }
    bytes.truncate(len);
    bytes
}
