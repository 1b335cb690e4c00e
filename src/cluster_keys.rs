//! Keys that the servers of this cluster share, and nothing else has.
//!
//! All are derived from the cluster's mock authentication nonce, which initdb makes: it is the same on a
//! primary and its standbys, after a restart and a promotion. Superusers, the server's operating-system
//! user and holders of a base backup can read it. See docs/decisions/0009-labels-of-derived-keys.md.

use std::num::NonZeroU32;

use pgrx::pg_sys;
use scram_core::derivation::RootKey;
use scram_core::keys::Key;
use scram_core::mock::{self, Account};
use scram_core::state::Seal;
use scram_core::{Mechanism, Verifier};

use crate::error::Error;
use crate::guc;
use crate::pg::random;

/// The purpose of a key. Each purpose has a label of its own, and a label is never reused for
/// another purpose.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Digests that tell whether a stored secret has changed since it was audited.
    AuditDigest,
    /// Seals the states of `handshake_start`.
    HandshakeState,
    /// Seals the states of `role_handshake_start`.
    RoleHandshakeState,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::AuditDigest => b"scram_ext audit digest",
            Self::HandshakeState => b"scram_ext handshake state",
            Self::RoleHandshakeState => b"scram_ext role handshake state",
        }
    }
}

/// A verifier that belongs to no account. The extension parses it in place of a stored verifier, so that an
/// unknown user costs as much as a known one.
pub(crate) const MOCK_VERIFIER_TEXT: &str = concat!(
    "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
);

/// The realm of the mocks of roles, which belong to the whole cluster.
const ROLES: &[u8] = b"roles";

/// The secret that the keys are derived from.
pub(crate) struct ClusterKeys(RootKey);

impl ClusterKeys {
    pub(crate) fn load() -> Self {
        Self(RootKey::new(mock_nonce()))
    }

    /// Keys of no cluster, for an exchange that is only shown: the real ones would tell any user what an
    /// unknown name is challenged with, and so which names are known.
    pub(crate) fn for_show() -> Result<Self, Error> {
        Ok(Self(RootKey::new(&random::salt(Mechanism::ScramSha256.key_len())?)))
    }

    pub(crate) fn key(&self, purpose: Purpose) -> Key {
        self.0.key(&[purpose.label()])
    }

    pub(crate) fn seal(&self, purpose: Purpose) -> Seal {
        Seal::new(self.key(purpose))
    }

    /// The mock verifier of an unknown user with this name. It differs between databases, because
    /// each database has accounts of its own.
    pub(crate) fn mock(&self, mechanism: Mechanism, username: &str) -> Result<Verifier, Error> {
        // SAFETY: reads the state of the backend.
        let database = unsafe { pg_sys::MyDatabaseId }.to_u32().to_be_bytes();
        let realm = [b"database".as_slice(), &database].concat();
        let account = Account { realm: &realm, name: username.as_bytes(), mechanism };
        let iterations = guc::mock_iterations();
        mock::verifier(&self.0, account, iterations, guc::salt_length())
            // A salt too long for a verifier to be stored is not what real users have.
            .or_else(|_| mock::verifier(&self.0, account, iterations, mock::POSTGRES_SALT_LEN))
            .map_err(Error::from)
    }

    /// The mock verifier with which PostgreSQL's own server challenges an unknown role of this
    /// name; `role` is in the server's encoding.
    pub(crate) fn role_mock(&self, mechanism: Mechanism, role: &[u8]) -> Result<Verifier, Error> {
        let iterations = NonZeroU32::new(guc::server_iterations().unsigned_abs());
        self.role_mock_with(mechanism, role, iterations.unwrap_or(NonZeroU32::MIN))
    }

    /// A verifier with the target's count for a password to be tried on where a role has none.
    pub(crate) fn role_mock_with_target(&self, role: &[u8]) -> Result<Verifier, Error> {
        self.role_mock_with(Mechanism::ScramSha256, role, guc::mock_iterations())
    }

    fn role_mock_with(
        &self,
        mechanism: Mechanism,
        role: &[u8],
        iterations: NonZeroU32,
    ) -> Result<Verifier, Error> {
        let account = Account { realm: ROLES, name: role, mechanism };
        Ok(mock::postgres_verifier(&self.0, mock_nonce(), account, iterations)?)
    }
}

/// The cluster's mock authentication nonce.
fn mock_nonce() -> &'static [u8] {
    // SAFETY: points to MOCK_AUTH_NONCE_LEN bytes in shared memory, there since start-up and never
    // written again.
    unsafe {
        let nonce = pg_sys::GetMockAuthenticationNonce().cast::<u8>();
        core::slice::from_raw_parts(nonce, pg_sys::MOCK_AUTH_NONCE_LEN as usize)
    }
}
