//! Finds the candidate that is the password, of one secret or of many.
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
mod trial;
mod worker;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use sha256_lanes::MAX_LANES;

pub use md5::Md5Hash;
pub use sha256_lanes::{backend_report, calibrate};
pub use trial::{Target, Trial};

use trial::Work;
use worker::Worker;

/// A search with as many iterations has the CPU's backends measured, once in a process. It takes some ten times
/// as long as the measurement.
const MIN_ITERATIONS_FOR_CALIBRATION: usize = 1 << 21;

/// A search for passwords among candidates, on any number of threads.
///
/// Threads take candidates in order. Candidates of different secrets are derived together, each with the
/// salt and the count of its own verifier. Derived keys are wiped; a prepared candidate is dropped as soon as
/// its derivation has begun.
pub struct Search<'a, C> {
    trials: Vec<Trial<'a, C>>,
    /// The position of each trial's first candidate among those of all trials.
    starts: Vec<usize>,
    work: Work,
    /// The first candidate that no thread has taken.
    next: AtomicUsize,
    tried: AtomicUsize,
    /// Candidates from this position on need no try.
    end: AtomicUsize,
    ends_at_hit: bool,
    hits: Mutex<Vec<usize>>,
    stopped: AtomicBool,
}

impl<'a, C: AsRef<[u8]>> Search<'a, C> {
    /// A search for the first candidate that is the password. The candidates are as they would be typed.
    ///
    /// The hit with the lowest position wins: a thread that tries candidates below a hit finishes them.
    pub fn new(target: Target<'a>, candidates: &'a [C]) -> Self {
        Self { ends_at_hit: true, ..Self::all(vec![Trial { target, candidates }]) }
    }

    /// A search that tries every candidate of every trial, also after hits, so that neither the time nor the
    /// number of tries tells which candidates were the password.
    pub fn all(trials: Vec<Trial<'a, C>>) -> Self {
        let mut work = Work::default();
        let mut starts = Vec::with_capacity(trials.len());
        for trial in &trials {
            starts.push(work.candidates);
            work.add(trial);
        }
        Self {
            trials,
            starts,
            next: AtomicUsize::new(0),
            tried: AtomicUsize::new(0),
            end: AtomicUsize::new(work.candidates),
            work,
            ends_at_hit: false,
            hits: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
        }
    }

    /// Tries candidates until none is left, an earlier one is the password that [`new`](Self::new) looks for,
    /// or the search is [stopped](Self::stop).
    ///
    /// `tick` is called about every millisecond, and the function returns as soon after a stop. For
    /// SCRAM-SHA-1 and SCRAM-SHA-512 both can take one derivation of
    /// [`MAX_ITERATIONS_WITHOUT_TICK`](crate::keys::MAX_ITERATIONS_WITHOUT_TICK) iterations. `tick`
    /// may unwind; the candidates that this thread was trying then stay untried.
    pub fn work(&self, tick: impl FnMut()) {
        if self.work.sha256_iterations >= MIN_ITERATIONS_FOR_CALIBRATION {
            sha256_lanes::calibrate();
        }
        // It breaks when the search is over.
        let _ = Worker::new(self, tick).run();
    }

    /// How many threads are worth starting, at most `limit`: each should have about a millisecond
    /// of work.
    pub fn threads(&self, limit: usize) -> usize {
        let groups = self.work.sha256.div_ceil(MAX_LANES) + self.work.others;
        let scram = groups.min(self.work.iterations / (MAX_LANES * 1024));
        (scram + self.work.md5 / 4096).min(limit).max(1)
    }

    /// Lets every thread return from [`work`](Self::work).
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// How many candidates have been tried: progress, while others work.
    pub fn tried(&self) -> usize {
        self.tried.load(Relaxed)
    }

    /// The position of the first candidate that is the password, counted from 0 over all trials. Final once
    /// every thread has returned from [`work`](Self::work), unless the search was stopped.
    pub fn found(&self) -> Option<usize> {
        self.lock_hits().iter().copied().min()
    }

    /// Every candidate that is the password, in order: the position of its trial, and its position there.
    pub fn hits(&self) -> Vec<(usize, usize)> {
        let mut hits = self.lock_hits().clone();
        hits.sort_unstable();
        hits.into_iter()
            .map(|position| {
                let trial = self.trial_of(position);
                (trial, position - self.starts[trial])
            })
            .collect()
    }

    /// The trial that this candidate belongs to. Trials without candidates share their start with the next
    /// one, which is the last of them.
    fn trial_of(&self, position: usize) -> usize {
        self.starts.partition_point(|start| *start <= position) - 1
    }

    fn lock_hits(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.hits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Never prints a candidate.
impl<C> fmt::Debug for Search<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search")
            .field("trials", &self.trials.len())
            .field("work", &self.work)
            .field("tried", &self.tried)
            .finish_non_exhaustive()
    }
}
