//! Compares a backend with the portable one before it is used.
//!
//! A wrong key would let an audit miss a password without any error. The tests run on the CPUs that they find; this
//! one runs on the CPU that derives.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::backend::Backend;
use crate::lanes::{Lanes, MAX_LANES};
use crate::plan::LaneGroup;
use crate::portable;

/// Whether a backend, which this CPU must support, derives what the portable one derives, at random inputs.
pub(crate) fn passes(backend: Backend) -> bool {
    let mut seen = lanes();
    let mut expected = seen.clone();
    for iterations in [1, 2] {
        LaneGroup { backend, count: backend.lanes() }.advance(&mut seen, iterations);
    }
    (0..backend.lanes()).all(|lane| {
        expected.swap(0, lane);
        portable::advance(&mut expected, 3);
        expected.swap(0, lane);
        seen.key(lane) == expected.key(lane) && seen.u(lane) == expected.u(lane)
    })
}

/// Lanes with random contents.
pub(crate) fn lanes() -> Lanes {
    let mut lanes = Lanes::new();
    let random = RandomState::new();
    for lane in 0..MAX_LANES {
        let word = |place: usize| {
            let [_, _, _, _, low @ ..] = random.hash_one((lane, place)).to_be_bytes();
            u32::from_be_bytes(low)
        };
        let [inner, outer, u]: [[u32; 8]; 3] =
            std::array::from_fn(|i| std::array::from_fn(|j| word(8 * i + j)));
        lanes.set(lane, &(inner, outer), &u);
    }
    lanes
}
