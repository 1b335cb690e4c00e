//! A secret and the candidates that are tried on it.

use std::fmt;

use super::Md5Hash;
use crate::mechanism::Mechanism;
use crate::verifier::Verifier;

/// The secret that candidates are tried on.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// `md5(password ‖ role)`. Candidates aren't prepared, as in the server.
    Md5(&'a Md5Hash),
    /// A verifier of MongoDB's SCRAM-SHA-1, which hashes a digest of name and password in place of the password.
    Mongodb {
        /// Both keys must match.
        verifier: &'a Verifier,
        /// The user's name as MongoDB has it.
        user: &'a [u8],
    },
    /// A verifier: both keys must match. Candidates are prepared as the server does it.
    Scram(&'a Verifier),
}

/// One secret and its candidates, as they would be typed.
pub struct Trial<'a, C> {
    /// The secret.
    pub target: Target<'a>,
    /// The candidates.
    pub candidates: &'a [C],
}

/// Never prints a candidate.
impl<C> fmt::Debug for Trial<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial")
            .field("target", &self.target)
            .field("candidates", &self.candidates.len())
            .finish()
    }
}

/// How much there is to do.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Candidates of all kinds.
    pub(super) candidates: usize,
    /// Candidates for MD5.
    pub(super) md5: usize,
    /// Candidates for SCRAM-SHA-256, which are derived in lanes.
    pub(super) sha256: usize,
    /// Candidates for the other mechanisms and for MongoDB's SCRAM-SHA-1, which are derived one by one.
    pub(super) others: usize,
    /// Iterations of all derivations together.
    pub(super) iterations: usize,
    /// Those for SCRAM-SHA-256.
    pub(super) sha256_iterations: usize,
}

impl Work {
    pub(super) fn add<C>(&mut self, trial: &Trial<'_, C>) {
        let count = trial.candidates.len();
        self.candidates += count;
        let (verifier, in_lanes) = match trial.target {
            Target::Md5(_) => {
                self.md5 += count;
                return;
            }
            Target::Mongodb { verifier, .. } => (verifier, false),
            Target::Scram(verifier) => (verifier, verifier.mechanism() == Mechanism::ScramSha256),
        };
        let iterations = usize::try_from(verifier.iterations().get()).unwrap_or(usize::MAX);
        let iterations = iterations.saturating_mul(count);
        self.iterations = self.iterations.saturating_add(iterations);
        if in_lanes {
            self.sha256 += count;
            self.sha256_iterations = self.sha256_iterations.saturating_add(iterations);
        } else {
            self.others += count;
        }
    }
}
