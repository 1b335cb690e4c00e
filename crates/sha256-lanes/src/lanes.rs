//! The state of each derivation in a batch, in the layout that the vector units read.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How many derivations a batch runs at most.
pub const MAX_LANES: usize = 16;

/// Eight words of SHA-256 state for each lane: word first, then lane.
pub(crate) type Words = [[u32; MAX_LANES]; 8];

/// The state of every lane between two iterations.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
#[repr(align(64))]
pub(crate) struct Lanes {
    /// SHA-256 after the block `key XOR ipad`.
    pub(crate) inner: Words,
    /// SHA-256 after the block `key XOR opad`.
    pub(crate) outer: Words,
    /// `U` of the last iteration.
    pub(crate) u: Words,
    /// XOR of every `U` so far: after the last iteration the key.
    pub(crate) key: Words,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self {
            inner: [[0; MAX_LANES]; 8],
            outer: [[0; MAX_LANES]; 8],
            u: [[0; MAX_LANES]; 8],
            key: [[0; MAX_LANES]; 8],
        }
    }

    /// Puts a derivation after its first iteration in a lane: the two states of its key, and `U`.
    pub(crate) fn set(&mut self, lane: usize, (inner, outer): &([u32; 8], [u32; 8]), u: &[u32; 8]) {
        set_column(&mut self.inner, lane, inner);
        set_column(&mut self.outer, lane, outer);
        set_column(&mut self.u, lane, u);
        set_column(&mut self.key, lane, u);
    }

    pub(crate) fn key(&self, lane: usize) -> Zeroizing<[u32; 8]> {
        Zeroizing::new(column(&self.key, lane))
    }

    pub(crate) fn u(&self, lane: usize) -> Zeroizing<[u32; 8]> {
        Zeroizing::new(column(&self.u, lane))
    }

    pub(crate) fn swap(&mut self, lane: usize, other: usize) {
        for words in [&mut self.inner, &mut self.outer, &mut self.u, &mut self.key] {
            for row in words {
                row.swap(lane, other);
            }
        }
    }

    /// Wipes a lane, after the lane `last` has moved to its place.
    pub(crate) fn swap_remove(&mut self, lane: usize, last: usize) {
        for words in [&mut self.inner, &mut self.outer, &mut self.u, &mut self.key] {
            for row in words {
                row[lane] = row[last];
                row[last].zeroize();
            }
        }
    }
}

/// Puts one lane's state in its column.
pub(crate) fn set_column(words: &mut Words, lane: usize, state: &[u32; 8]) {
    for (row, word) in words.iter_mut().zip(state) {
        row[lane] = *word;
    }
}

/// One lane's column.
pub(crate) fn column(words: &Words, lane: usize) -> [u32; 8] {
    words.map(|row| row[lane])
}
