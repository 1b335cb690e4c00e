//! Finds the candidate that is the password.
//!
//! The module starts no thread. Threads share a [`Search`], and each one that takes part calls
//! [`Search::work`]. So the caller decides how many threads there are, what they inherit and which
//! one waits.
//!
//! ```
//! use std::thread;
//!
//! use scram_core::search::{Search, Target};
//! use scram_core::{Parameters, Password, Verifier};
//! # use scram_core::Mechanism;
//! # let parameters = Parameters::new(
//! #     Mechanism::ScramSha256, std::num::NonZeroU32::MIN, b"salt".to_vec()).unwrap();
//! # let verifier = Verifier::derive(parameters, &Password::prepare(b"pencil"), || ());
//!
//! let search = Search::new(Target::Scram(&verifier), &["pen", "pencil", "paper"]);
//! thread::scope(|scope| {
//!     scope.spawn(|| search.work(|| ()));
//!     search.work(|| ());
//! });
//! assert_eq!(search.found(), Some(1));
//! ```

mod md5;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use sha256_lanes::{MAX_LANES, Pbkdf2};

use crate::keys::{SaltedPassword, TICK_EVERY};
use crate::mechanism::Mechanism;
use crate::saslprep::Password;
use crate::verifier::Verifier;

pub use md5::Md5Hash;

/// Candidates that are hashed with MD5 between two looks at the stop flag: well under a millisecond
/// for passwords of usual lengths.
const MD5_CANDIDATES_PER_TURN: usize = 512;

/// The secret that candidates are tried on.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// `md5(password ‖ role)`. Candidates aren't prepared, as in the server.
    Md5(&'a Md5Hash),
    /// A verifier: both keys must match. Candidates are prepared as the server does it.
    Scram(&'a Verifier),
}

impl Target<'_> {
    /// How many candidates a thread takes at a time.
    fn group(self) -> usize {
        match self {
            Self::Md5(_) => MD5_CANDIDATES_PER_TURN,
            Self::Scram(verifier) => match verifier.mechanism() {
                Mechanism::ScramSha256 => MAX_LANES,
                Mechanism::ScramSha1 | Mechanism::ScramSha512 => 1,
            },
        }
    }
}

/// A search for the first candidate that is the password, on any number of threads.
///
/// Threads take candidates in order, and the hit with the lowest position wins: a thread that tries
/// candidates below a hit finishes them. Derived keys are wiped; a prepared candidate is dropped as
/// soon as its derivation has begun.
pub struct Search<'a, C> {
    target: Target<'a>,
    candidates: &'a [C],
    /// The first candidate that no thread has taken.
    next: AtomicUsize,
    tried: AtomicUsize,
    /// The lowest position of a hit; the number of candidates if there is no hit yet.
    found: AtomicUsize,
    stopped: AtomicBool,
}

impl<'a, C: AsRef<[u8]>> Search<'a, C> {
    /// A search over candidates as they would be typed.
    pub fn new(target: Target<'a>, candidates: &'a [C]) -> Self {
        Self {
            target,
            candidates,
            next: AtomicUsize::new(0),
            tried: AtomicUsize::new(0),
            found: AtomicUsize::new(candidates.len()),
            stopped: AtomicBool::new(false),
        }
    }

    /// Tries candidates until none is left, an earlier one is the password, or the search is
    /// [stopped](Self::stop).
    ///
    /// `tick` is called about every millisecond, and the function returns as soon after a stop. For
    /// SCRAM-SHA-1 and SCRAM-SHA-512 both can take one derivation of
    /// [`MAX_ITERATIONS_WITHOUT_TICK`](crate::keys::MAX_ITERATIONS_WITHOUT_TICK) iterations. `tick`
    /// may unwind; the candidates that this thread was trying then stay untried.
    pub fn work(&self, mut tick: impl FnMut()) {
        let group = self.target.group();
        loop {
            tick();
            let first = self.next.fetch_add(group, Relaxed);
            if self.is_over(first) {
                return;
            }
            let rest = &self.candidates[first..];
            let candidates = &rest[..group.min(rest.len())];
            let on = || {
                tick();
                if self.is_over(first) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let ControlFlow::Continue(hit) = self.try_group(candidates, on) else { return };
            if let Some(position) = hit {
                self.found.fetch_min(first + position, Relaxed);
            }
            self.tried.fetch_add(candidates.len(), Relaxed);
        }
    }

    /// How many threads are worth starting, at most `limit`: each should have about a millisecond
    /// of work.
    pub fn threads(&self, limit: usize) -> usize {
        let candidates = self.candidates.len();
        let worthwhile = match self.target {
            Target::Md5(_) => candidates / 4096,
            Target::Scram(verifier) => {
                let iterations = usize::try_from(verifier.iterations().get()).unwrap_or(usize::MAX);
                let derivations = iterations.saturating_mul(candidates);
                candidates.div_ceil(self.target.group()).min(derivations / (MAX_LANES * 1024))
            }
        };
        worthwhile.min(limit).max(1)
    }

    /// Lets every thread return from [`work`](Self::work).
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// How many candidates have been tried: progress, while others work.
    pub fn tried(&self) -> usize {
        self.tried.load(Relaxed)
    }

    /// The position of the first candidate that is the password, counted from 0. Final once every
    /// thread has returned from [`work`](Self::work), unless the search was stopped.
    pub fn found(&self) -> Option<usize> {
        let found = self.found.load(Relaxed);
        (found < self.candidates.len()).then_some(found)
    }

    /// Whether the candidates from `first` on need no try.
    fn is_over(&self, first: usize) -> bool {
        first >= self.found.load(Relaxed) || self.stopped.load(Relaxed)
    }

    fn try_group(
        &self,
        candidates: &[C],
        on: impl FnMut() -> ControlFlow<()>,
    ) -> ControlFlow<(), Option<usize>> {
        match self.target {
            Target::Md5(hash) => ControlFlow::Continue(
                candidates.iter().position(|candidate| hash.is_of(candidate.as_ref())),
            ),
            Target::Scram(verifier) if verifier.mechanism() == Mechanism::ScramSha256 => {
                try_lanes(verifier, candidates, on)
            }
            Target::Scram(verifier) => try_one_by_one(verifier, candidates, on),
        }
    }
}

/// Tries up to [`MAX_LANES`] candidates at once.
fn try_lanes<C: AsRef<[u8]>>(
    verifier: &Verifier,
    candidates: &[C],
    mut on: impl FnMut() -> ControlFlow<()>,
) -> ControlFlow<(), Option<usize>> {
    let mut over = ControlFlow::Continue(());
    // Preparing a very long candidate takes its time too.
    let prepared = candidates.iter().map_while(|candidate| {
        over = on();
        over.is_continue().then(|| Password::prepare(candidate.as_ref()))
    });
    let mut batch = Pbkdf2::new(verifier.salt(), verifier.iterations()).batch(prepared);
    over?;
    while !batch.is_done() {
        batch.advance(TICK_EVERY);
        on()?;
    }
    let mut keys = batch.keys();
    ControlFlow::Continue(keys.position(|key| verifier.matches(&SaltedPassword::from_sha256(&key))))
}

/// Tries one candidate after the other, with the mechanism's own hash.
fn try_one_by_one<C: AsRef<[u8]>>(
    verifier: &Verifier,
    candidates: &[C],
    mut on: impl FnMut() -> ControlFlow<()>,
) -> ControlFlow<(), Option<usize>> {
    for (position, candidate) in candidates.iter().enumerate() {
        let salted = SaltedPassword::derive_until(
            verifier.mechanism(),
            &Password::prepare(candidate.as_ref()),
            verifier.salt(),
            verifier.iterations(),
            &mut on,
        )?;
        if verifier.matches(&salted) {
            return ControlFlow::Continue(Some(position));
        }
    }
    ControlFlow::Continue(None)
}

/// Never prints a candidate.
impl<C> fmt::Debug for Search<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search")
            .field("target", &self.target)
            .field("candidates", &self.candidates.len())
            .field("tried", &self.tried)
            .finish_non_exhaustive()
    }
}
