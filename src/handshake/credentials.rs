//! The verifiers of an exchange: those that the caller gave, and the mocks in their place.

use scram_core::keys::Key;
use scram_core::server::Credential;
use scram_core::state::{Seal, State};
use scram_core::{Mechanism, Parameters, Selection, Verifier};

use crate::cluster_keys::{ClusterKeys, MOCK_VERIFIER_TEXT};
use crate::error::Error;
use crate::pg::text::ServerText;
use crate::pg::verifier_text;

/// The verifiers that the caller gave, in order, or none.
pub(super) struct GivenVerifiers {
    verifier: Option<Verifier>,
    alternative: Option<Verifier>,
}

impl GivenVerifiers {
    pub(super) fn parse(
        verifier: Option<&ServerText>,
        alternative: Option<&ServerText>,
    ) -> Result<Self, Error> {
        let verifier = match verifier {
            Some(verifier) => Some(verifier_text::parse(verifier)?),
            None => {
                drop(core::hint::black_box(MOCK_VERIFIER_TEXT.parse::<Verifier>()));
                None
            }
        };
        let alternative = alternative.map(verifier_text::parse).transpose()?;
        if let Some(alternative) = &alternative {
            let fits =
                verifier.as_ref().is_some_and(|v| v.parameters() == alternative.parameters());
            if !fits {
                return Err(Error::Alternative);
            }
        }
        Ok(Self { verifier, alternative })
    }

    /// The mechanism that the client selected; without a name, the mechanism of the given verifier.
    pub(super) fn selection(&self, name: Option<&ServerText>) -> Result<Selection, Error> {
        match (name, &self.verifier) {
            (Some(name), _) => Ok(name.as_ascii().parse()?),
            (None, Some(verifier)) => Ok(verifier.mechanism().into()),
            (None, None) => Ok(Mechanism::ScramSha256.into()),
        }
    }
}

/// The two verifiers that the client's proof is checked against. There are always two, so that the
/// cost does not tell whether the user has an alternative, or exists.
pub(crate) struct Credentials {
    first: Verifier,
    second: Verifier,
    first_is_real: bool,
    second_is_real: bool,
}

impl Credentials {
    /// Ignores a verifier of another mechanism than the selected one, because otherwise a client
    /// could probe names by mechanism.
    pub(super) fn new(
        keys: &ClusterKeys,
        given: &GivenVerifiers,
        mechanism: Mechanism,
        username: &str,
    ) -> Result<Self, Error> {
        // Made for known users too: the cost is the same.
        let mock = keys.mock(mechanism, username)?;
        let real = |verifier: &Option<Verifier>| {
            verifier.as_ref().filter(|verifier| verifier.mechanism() == mechanism).cloned()
        };
        Ok(Self::with_mock(real(&given.verifier), real(&given.alternative), mock))
    }

    /// Puts the mock in the place of each missing verifier.
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

    /// The parameters that the server-first-message sends.
    pub(crate) fn parameters(&self) -> &Parameters {
        self.first.parameters()
    }

    pub(super) fn list(&self) -> [Credential<'_>; 2] {
        [
            Credential::new(&self.first, self.first_is_real),
            Credential::new(&self.second, self.second_is_real),
        ]
    }

    pub(super) fn digests(&self, seal: &Seal) -> [Key; 2] {
        [seal.digest(&self.first.to_string()), seal.digest(&self.second.to_string())]
    }

    /// The same two as [`Self::list`], but the exchange accepts only verifiers that the state was
    /// made for.
    pub(super) fn known_to<'a>(&'a self, state: &State, seal: &Seal) -> [Credential<'a>; 2] {
        let [first, second] = self.digests(seal);
        [
            Credential::new(&self.first, self.first_is_real & state.knows(&first)),
            Credential::new(&self.second, self.second_is_real & state.knows(&second)),
        ]
    }
}
