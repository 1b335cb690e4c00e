//! Who takes part in an exchange: the verifiers given, the mocks in their place, and what only the
//! servers of this cluster know.

use std::num::NonZeroU32;

use pgrx::pg_sys;
use scram_core::keys::Key;
use scram_core::server::Candidate;
use scram_core::state::{Seal, State};
use scram_core::{Mechanism, Parameters, Selection, Verifier, mock};

use crate::error::Error;
use crate::text::Text;
use crate::verifier::read;
use crate::{guc, random};

/// The verifiers that the caller gave, in order, or none.
pub(super) struct Given {
    verifier: Option<Verifier>,
    alternative: Option<Verifier>,
}

impl Given {
    pub(super) fn read(verifier: Option<&Text>, alternative: Option<&Text>) -> Result<Self, Error> {
        let verifier = match verifier {
            Some(verifier) => Some(read(verifier)?),
            None => {
                drop(core::hint::black_box(DECOY.parse::<Verifier>()));
                None
            }
        };
        let alternative = alternative.map(read).transpose()?;
        if let Some(alternative) = &alternative {
            let fits =
                verifier.as_ref().is_some_and(|v| v.parameters() == alternative.parameters());
            if !fits {
                return Err(Error::Alternative);
            }
        }
        Ok(Self { verifier, alternative })
    }

    /// What the client selected; the verifier's own mechanism if nothing is said.
    pub(super) fn selection(&self, name: Option<&Text>) -> Result<Selection, Error> {
        match (name, &self.verifier) {
            (Some(name), _) => Ok(name.ascii().parse()?),
            (None, Some(verifier)) => Ok(verifier.mechanism().into()),
            (None, None) => Ok(Mechanism::ScramSha256.into()),
        }
    }
}

/// A verifier that nobody has: an unknown user costs the reading of it in place of his own.
pub(crate) const DECOY: &str = concat!(
    "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
);

/// What the client's proof is checked against. Two always: no cost tells a user who has no
/// alternative, or who does not exist, from another.
pub(crate) struct Candidates {
    first: Verifier,
    second: Verifier,
    first_is_real: bool,
    second_is_real: bool,
}

impl Candidates {
    /// A verifier of another mechanism than the selected one counts as none: a name can't be probed
    /// by mechanism.
    pub(super) fn new(
        secrets: &Secrets,
        given: &Given,
        mechanism: Mechanism,
        username: &str,
    ) -> Result<Self, Error> {
        // Made for known users too: the cost is the same.
        let mock = secrets.mock(mechanism, username)?;
        let real = |verifier: &Option<Verifier>| {
            verifier.as_ref().filter(|verifier| verifier.mechanism() == mechanism).cloned()
        };
        Ok(Self::with_mock(real(&given.verifier), real(&given.alternative), mock))
    }

    /// The mock stands in for whoever is missing.
    pub(crate) fn with_mock(
        first: Option<Verifier>,
        second: Option<Verifier>,
        mock: Verifier,
    ) -> Self {
        Self {
            first_is_real: first.is_some(),
            second_is_real: second.is_some(),
            second: second.unwrap_or_else(|| mock.clone()),
            first: first.unwrap_or(mock),
        }
    }

    /// What server-first hands out.
    pub(crate) fn parameters(&self) -> &Parameters {
        self.first.parameters()
    }

    pub(super) fn list(&self) -> [Candidate<'_>; 2] {
        [
            Candidate::new(&self.first, self.first_is_real),
            Candidate::new(&self.second, self.second_is_real),
        ]
    }

    pub(super) fn digests(&self, seal: &Seal) -> [Key; 2] {
        [seal.digest(&self.first.to_string()), seal.digest(&self.second.to_string())]
    }

    /// As [`Self::list`], but only those that the state was made for can be accepted.
    pub(super) fn known_to<'a>(&'a self, state: &State, seal: &Seal) -> [Candidate<'a>; 2] {
        let [first, second] = self.digests(seal);
        [
            Candidate::new(&self.first, self.first_is_real & state.knows(&first)),
            Candidate::new(&self.second, self.second_is_real & state.knows(&second)),
        ]
    }
}

/// What only the servers of this cluster know.
pub(crate) struct Secrets {
    /// Seals the states.
    pub(super) seal: Seal,
    mock: Key,
}

impl Secrets {
    /// Purpose of the states of `handshake_start`.
    pub(crate) const VERIFIER: &str = "scram_ext handshake state";

    /// Purpose of the states of `role_handshake_start`.
    pub(crate) const ROLE: &str = "scram_ext role handshake state";

    /// Derived from the cluster's mock authentication nonce: the same on the primary and its
    /// standbys, after a restart and a promotion, and another one after initdb.
    pub(crate) fn of_this_cluster(purpose: &str) -> Result<Self, Error> {
        let nonce = mock_nonce();
        Ok(Self::new(Key::new(Mechanism::ScramSha256, nonce).ok_or(Error::Random)?, purpose))
    }

    /// For show: the real ones would tell everybody what an unknown user of any name is challenged
    /// with, and so who is known.
    pub(super) fn of_nobody() -> Result<Self, Error> {
        let random = random::salt(Mechanism::ScramSha256.key_len())?;
        Ok(Self::new(Key::new(Mechanism::ScramSha256, &random).ok_or(Error::Random)?, ""))
    }

    fn new(root: Key, purpose: &str) -> Self {
        Self {
            seal: Seal::new(&root, purpose),
            mock: root.hmac(Mechanism::ScramSha256, &[b"scram_ext mock salt"]),
        }
    }

    /// What PostgreSQL's own server challenges an unknown role of this name with, `role` in the
    /// server's encoding.
    pub(crate) fn role_mock(&self, mechanism: Mechanism, role: &[u8]) -> Result<Verifier, Error> {
        let iterations = NonZeroU32::new(guc::server_iterations().unsigned_abs());
        let iterations = iterations.unwrap_or(NonZeroU32::MIN);
        Ok(mock::postgres_verifier(&self.mock, mock_nonce(), mechanism, role, iterations)?)
    }

    /// A verifier with the target's count for a password to be tried on where a role has none.
    pub(crate) fn decoy(&self, role: &[u8]) -> Result<Verifier, Error> {
        let (mechanism, iterations) = (Mechanism::ScramSha256, guc::target_iterations());
        Ok(mock::postgres_verifier(&self.mock, mock_nonce(), mechanism, role, iterations)?)
    }

    /// What an unknown user of this name is challenged with.
    fn mock(&self, mechanism: Mechanism, username: &str) -> Result<Verifier, Error> {
        let iterations = guc::target_iterations();
        mock::verifier(&self.mock, mechanism, username, iterations, guc::salt_length())
            // A salt too long for a verifier to be stored is not what real users have.
            .or_else(|_| {
                let len = mock::POSTGRES_SALT_LEN;
                mock::verifier(&self.mock, mechanism, username, iterations, len)
            })
            .map_err(Error::from)
    }
}

/// The cluster's mock authentication nonce, made by initdb.
pub(crate) fn mock_nonce() -> &'static [u8] {
    // SAFETY: points to MOCK_AUTH_NONCE_LEN bytes in shared memory, there since start-up and never
    // written again.
    unsafe {
        let nonce = pg_sys::GetMockAuthenticationNonce().cast::<u8>();
        core::slice::from_raw_parts(nonce, pg_sys::MOCK_AUTH_NONCE_LEN as usize)
    }
}
