//! The interface: a batch of derivations, each with a password, a salt and an iteration count of its own.

use std::fmt;
use std::num::NonZeroU32;

use zeroize::Zeroizing;

use crate::KEY_LEN;
use crate::backend::{Backend, Unavailable, block_function};
use crate::block;
use crate::lanes::{Lanes, MAX_LANES};
use crate::plan::{self, LaneGroup};

/// PBKDF2-HMAC-SHA-256 with one output block, for one salt and iteration count.
#[derive(Clone, Copy, Debug)]
pub struct Pbkdf2<'salt> {
    salt: &'salt [u8],
    iterations: NonZeroU32,
}

impl<'salt> Pbkdf2<'salt> {
    /// The derivation with this salt, of any length, and this count.
    pub const fn new(salt: &'salt [u8], iterations: NonZeroU32) -> Self {
        Self { salt, iterations }
    }

    /// The key of one password. `tick` is called every `every` iterations.
    pub fn derive(
        &self,
        password: &[u8],
        every: NonZeroU32,
        mut tick: impl FnMut(),
    ) -> Zeroizing<[u8; KEY_LEN]> {
        let mut batch = Batch::new();
        batch.push(0, password, self);
        loop {
            batch.advance(every.get());
            if let Some((_, key)) = batch.pop() {
                return key;
            }
            tick();
        }
    }
}

/// Derivations that run at the same time, each in a lane of its own. A lane whose key is complete can be
/// filled again while the others are still running, so that no lane has to wait for another one.
///
/// The memory of a lane is wiped when its key is complete or given up, and all of it on drop.
pub struct Batch {
    lanes: Box<Lanes>,
    /// For each lane that is in use the caller's tag, and how many iterations are left.
    slots: Vec<Slot>,
    done: Vec<(usize, Zeroizing<[u8; KEY_LEN]>)>,
    forced: Option<Backend>,
}

#[derive(Clone, Copy)]
struct Slot {
    tag: usize,
    left: u32,
}

impl Batch {
    /// Derives with the fastest backends of this CPU, or with the one that the environment variable
    /// `SHA256_LANES_BACKEND` names.
    pub fn new() -> Self {
        Self::forced(Backend::forced())
    }

    /// Derives with this backend only.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the CPU lacks instructions that the backend needs.
    pub fn with_backend(backend: Backend) -> Result<Self, Unavailable> {
        if backend.is_available() {
            Ok(Self::forced(Some(backend)))
        } else {
            Err(Unavailable(backend))
        }
    }

    fn forced(forced: Option<Backend>) -> Self {
        Self {
            lanes: Box::new(Lanes::new()),
            slots: Vec::with_capacity(MAX_LANES),
            done: Vec::with_capacity(MAX_LANES),
            forced,
        }
    }

    /// How many more derivations can begin: with all of them the backend runs at its full speed.
    pub fn room(&self) -> usize {
        // Keys that were not taken count too, so that their number has a limit.
        plan::width(self.forced).saturating_sub(self.slots.len() + self.done.len())
    }

    /// Whether no derivation is running and no key waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.done.is_empty()
    }

    /// Begins to derive the key of a password of any length. [`pop`](Self::pop) returns the key with `tag`.
    ///
    /// # Panics
    ///
    /// Without [`room`](Self::room).
    pub fn push(&mut self, tag: usize, password: &[u8], pbkdf2: &Pbkdf2<'_>) {
        assert!(self.room() > 0, "room for a derivation");
        let compress = block_function(self.forced);
        let states = block::hmac_key(compress, password);
        let u = block::first(compress, &states, pbkdf2.salt);
        // The first iteration is complete.
        let left = pbkdf2.iterations.get() - 1;
        if left == 0 {
            self.done.push((tag, block::bytes(&u)));
        } else {
            self.lanes.set(self.slots.len(), &states, &u);
            self.slots.push(Slot { tag, left });
        }
    }

    /// Runs up to `iterations` of the lanes that are derived together: all of them, or as many as the best
    /// backend for so few takes. 1024 iterations take about a millisecond at most.
    pub fn advance(&mut self, iterations: u32) {
        if self.slots.is_empty() {
            return;
        }
        let group = LaneGroup::of(self.forced, self.slots.len());
        let running = &mut self.slots[..group.count];
        let now = running.iter().map(|slot| slot.left).fold(iterations, u32::min);
        group.advance(&mut self.lanes, now);
        for slot in running {
            slot.left -= now;
        }
        for lane in (0..group.count).rev() {
            if self.slots[lane].left == 0 {
                let key = block::bytes(&self.lanes.key(lane));
                self.done.push((self.slots[lane].tag, key));
                self.remove(lane);
            }
        }
    }

    /// Takes one complete key with its tag. Keys come in the order in which they are completed.
    pub fn pop(&mut self) -> Option<(usize, Zeroizing<[u8; KEY_LEN]>)> {
        (!self.done.is_empty()).then(|| self.done.remove(0))
    }

    /// Gives up the derivations whose tags `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for lane in (0..self.slots.len()).rev() {
            if !keep(self.slots[lane].tag) {
                self.remove(lane);
            }
        }
    }

    /// Empties a lane. The last one moves to its place, because the lanes in use are the first ones.
    fn remove(&mut self, lane: usize) {
        self.slots.swap_remove(lane);
        self.lanes.swap_remove(lane, self.slots.len());
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// Never prints key material.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("running", &self.slots.len())
            .field("done", &self.done.len())
            .field("forced", &self.forced)
            .finish_non_exhaustive()
    }
}
