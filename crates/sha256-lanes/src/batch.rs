//! The interface: one salt and count, then batches of passwords.

use std::fmt;
use std::num::NonZeroU32;

use zeroize::Zeroizing;

use crate::KEY_LEN;
use crate::backend::{Backend, Unavailable, block_function};
use crate::block;
use crate::lanes::{self, Lanes, MAX_LANES};
use crate::plan::LaneGroup;

/// PBKDF2-HMAC-SHA-256 with one output block, for one salt and iteration count.
#[derive(Clone, Copy)]
pub struct Pbkdf2<'salt> {
    salt: &'salt [u8],
    iterations: NonZeroU32,
    forced: Option<Backend>,
}

impl<'salt> Pbkdf2<'salt> {
    /// Derives with the fastest backend of this CPU, or with the one that the environment variable
    /// `SHA256_LANES_BACKEND` names.
    pub fn new(salt: &'salt [u8], iterations: NonZeroU32) -> Self {
        Self { salt, iterations, forced: Backend::forced() }
    }

    /// Derives with this backend only.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the CPU lacks instructions that the backend needs.
    pub fn with_backend(self, backend: Backend) -> Result<Self, Unavailable> {
        if backend.is_available() {
            Ok(Self { forced: Some(backend), ..self })
        } else {
            Err(Unavailable(backend))
        }
    }

    /// Begins to derive the keys of up to [`MAX_LANES`] passwords, of any lengths. Each one is dropped
    /// before the next is asked for.
    ///
    /// # Panics
    ///
    /// With more than [`MAX_LANES`] passwords.
    pub fn batch<P: AsRef<[u8]>>(&self, passwords: impl IntoIterator<Item = P>) -> Batch {
        let compress = block_function(self.forced);
        let mut lanes = Box::new(Lanes::new());
        let mut count = 0;
        for (lane, password) in passwords.into_iter().enumerate() {
            assert!(lane < MAX_LANES, "at most {MAX_LANES} passwords");
            count = lane + 1;
            let states = block::hmac_key(compress, password.as_ref());
            let u = block::first(compress, &states, self.salt);
            lanes::set_column(&mut lanes.inner, lane, &states.0);
            lanes::set_column(&mut lanes.outer, lane, &states.1);
            lanes::set_column(&mut lanes.u, lane, &u);
            lanes::set_column(&mut lanes.key, lane, &u);
        }
        Batch {
            lanes,
            count,
            // The first iteration is done.
            iterations: self.iterations.get() - 1,
            group: None,
            left: 0,
            done: if self.iterations.get() == 1 { count } else { 0 },
            forced: self.forced,
        }
    }

    /// The key of one password. `tick` is called every `every` iterations.
    pub fn derive(
        &self,
        password: &[u8],
        every: NonZeroU32,
        mut tick: impl FnMut(),
    ) -> Zeroizing<[u8; KEY_LEN]> {
        let mut batch = self.batch([password]);
        batch.advance(every.get());
        while !batch.is_done() {
            tick();
            batch.advance(every.get());
        }
        batch.key(0)
    }
}

impl fmt::Debug for Pbkdf2<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pbkdf2")
            .field("iterations", &self.iterations)
            .field("forced", &self.forced)
            .finish_non_exhaustive()
    }
}

/// A batch of passwords and the keys derived so far. Its memory is wiped when dropped, even before
/// the batch is done.
pub struct Batch {
    lanes: Box<Lanes>,
    count: usize,
    /// Iterations that each lane needs after the first.
    iterations: u32,
    /// The lanes that are being derived, and the iterations that they still need.
    group: Option<LaneGroup>,
    left: u32,
    /// Lanes below this one are done.
    done: usize,
    forced: Option<Backend>,
}

impl Batch {
    /// Runs up to `iterations` of the lanes that are derived together: 16, 8, 4 or one, depending on
    /// the backend. 1024 iterations take about a millisecond at most.
    pub fn advance(&mut self, iterations: u32) {
        if self.is_done() {
            return;
        }
        let group = *self.group.get_or_insert_with(|| {
            self.left = self.iterations;
            LaneGroup::next(self.forced, self.done, self.count)
        });
        let now = iterations.min(self.left);
        group.advance(&mut self.lanes, now);
        self.left -= now;
        if self.left == 0 {
            self.done += group.count;
            self.group = None;
        }
    }

    /// Whether every key is there.
    pub fn is_done(&self) -> bool {
        self.done == self.count
    }

    /// The keys that are there, in the order of the passwords: all of them once
    /// [`is_done`](Self::is_done).
    pub fn keys(&self) -> impl Iterator<Item = Zeroizing<[u8; KEY_LEN]>> {
        (0..self.done).map(|lane| self.key(lane))
    }

    fn key(&self, lane: usize) -> Zeroizing<[u8; KEY_LEN]> {
        block::bytes(&Zeroizing::new(lanes::column(&self.lanes.key, lane)))
    }
}

/// Never prints key material.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("count", &self.count)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
