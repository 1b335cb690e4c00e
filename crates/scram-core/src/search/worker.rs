//! One thread of a search.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

use sha256_lanes::{Batch, Pbkdf2};

use super::md5::mongodb_password;
use super::{Md5Hash, Search, Target};
use crate::keys::{SaltedPassword, TICK_EVERY};
use crate::mechanism::Mechanism;
use crate::saslprep::Password;
use crate::verifier::Verifier;

/// Candidates that are hashed with MD5 between two looks at the stop flag: well under a millisecond
/// for passwords of usual lengths.
const MD5_CANDIDATES_PER_TURN: usize = 512;

pub(super) struct Worker<'s, 'a, C, F> {
    search: &'s Search<'a, C>,
    tick: F,
    /// Candidates for SCRAM-SHA-256, by their positions.
    batch: Batch,
}

impl<'s, 'a, C: AsRef<[u8]>, F: FnMut()> Worker<'s, 'a, C, F> {
    pub(super) fn new(search: &'s Search<'a, C>, tick: F) -> Self {
        Self { search, tick, batch: Batch::new() }
    }

    /// Works until nothing is left, or the search is over.
    pub(super) fn run(&mut self) -> ControlFlow<()> {
        loop {
            self.fill()?;
            if self.batch.is_empty() {
                return ControlFlow::Break(());
            }
            self.batch.advance(TICK_EVERY);
            self.go_on()?;
            self.take_keys();
            // A hit of another thread can have made candidates needless.
            let end = self.search.end.load(Relaxed);
            self.batch.retain(|position| position < end);
        }
    }

    /// Gives every lane a candidate, and tries those that need no lane.
    fn fill(&mut self) -> ControlFlow<()> {
        while self.batch.room() > 0 {
            self.go_on()?;
            let wanted = self.turn();
            let first = self.search.next.fetch_add(wanted, Relaxed);
            let end = self.search.end.load(Relaxed).min(first.saturating_add(wanted));
            if first >= end {
                // So that it never overflows, however often a thread asks.
                self.search.next.fetch_min(self.search.work.candidates, Relaxed);
                break;
            }
            for position in first..end {
                self.begin(position)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// How many candidates to take at a time.
    fn turn(&self) -> usize {
        let work = &self.search.work;
        match (work.sha256, work.others) {
            (0, 0) => MD5_CANDIDATES_PER_TURN,
            // One by one, so that no thread has several of them while another one waits.
            (0, _) => 1,
            _ => self.batch.room(),
        }
    }

    /// Begins to try a candidate, or tries it right away.
    fn begin(&mut self, position: usize) -> ControlFlow<()> {
        let search = self.search;
        let number = search.trial_of(position);
        let trial = &search.trials[number];
        let candidate = trial.candidates[position - search.starts[number]].as_ref();
        match trial.target {
            Target::Md5(hash) => self.try_md5(position, hash, candidate),
            Target::Mongodb { verifier, user } => {
                self.go_on()?;
                self.try_alone(position, verifier, &mongodb_password(user, candidate))?;
            }
            Target::Scram(verifier) => {
                // Preparing a very long candidate takes its time too.
                self.go_on()?;
                let password = Password::prepare(candidate);
                if verifier.mechanism() == Mechanism::ScramSha256 {
                    let pbkdf2 = Pbkdf2::new(verifier.salt(), verifier.iterations());
                    self.batch.push(position, password.as_ref(), &pbkdf2);
                } else {
                    self.try_alone(position, verifier, &password)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn try_md5(&self, position: usize, hash: &Md5Hash, candidate: &[u8]) {
        self.note(position, hash.is_of(candidate));
    }

    /// Tries a candidate with the mechanism's own hash.
    fn try_alone(
        &mut self,
        position: usize,
        verifier: &Verifier,
        password: &Password,
    ) -> ControlFlow<()> {
        let search = self.search;
        let (mechanism, salt) = (verifier.mechanism(), verifier.salt());
        let salted =
            SaltedPassword::derive_until(mechanism, password, salt, verifier.iterations(), || {
                (self.tick)();
                if search.needs(position) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
        self.note(position, verifier.matches(&salted));
        ControlFlow::Continue(())
    }

    /// Compares the keys that are complete.
    fn take_keys(&mut self) {
        let search = self.search;
        while let Some((position, key)) = self.batch.pop() {
            let is_hit = match search.trials[search.trial_of(position)].target {
                Target::Scram(verifier) => verifier.matches(&SaltedPassword::from_sha256(&key)),
                Target::Md5(_) | Target::Mongodb { .. } => false,
            };
            self.note(position, is_hit);
        }
    }

    /// Notes that a candidate has been tried.
    fn note(&self, position: usize, is_hit: bool) {
        let search = self.search;
        if is_hit {
            search.lock_hits().push(position);
            if search.ends_at_hit {
                search.end.fetch_min(position, Relaxed);
            }
        }
        search.tried.fetch_add(1, Relaxed);
    }

    /// A tick, and whether the search goes on.
    fn go_on(&mut self) -> ControlFlow<()> {
        (self.tick)();
        if self.search.stopped.load(Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl<C: AsRef<[u8]>> Search<'_, C> {
    /// Whether this candidate must still be tried.
    fn needs(&self, position: usize) -> bool {
        position < self.end.load(Relaxed) && !self.stopped.load(Relaxed)
    }
}
