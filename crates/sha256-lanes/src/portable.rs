//! Plain Rust: one lane at a time, on any CPU.

use crate::block::{BLOCK_LEN, K};
use crate::lanes::{Lanes, MAX_LANES};

/// Lanes of a vector.
pub(crate) const LANES: usize = 1;

type V = u32;

/// Runs `iterations` of the first lane.
pub(crate) fn advance(lanes: &mut Lanes, iterations: u32) {
    run(lanes, iterations);
}

/// The compression function on any block (FIPS 180-4 section 6.2.2).
pub(crate) fn block(state: &mut [u32; 8], block: &[u8; BLOCK_LEN]) {
    let mut w = [0; 16];
    for (word, four) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    rounds!(a b c d e f g h,
        add(w[0], K[0]), add(w[1], K[1]), add(w[2], K[2]), add(w[3], K[3]),
        add(w[4], K[4]), add(w[5], K[5]), add(w[6], K[6]), add(w[7], K[7]));
    rounds!(a b c d e f g h,
        add(w[8], K[8]), add(w[9], K[9]), add(w[10], K[10]), add(w[11], K[11]),
        add(w[12], K[12]), add(w[13], K[13]), add(w[14], K[14]), add(w[15], K[15]));
    scheduled!(a b c d e f g h, w, 16);
    scheduled!(a b c d e f g h, w, 24);
    scheduled!(a b c d e f g h, w, 32);
    scheduled!(a b c d e f g h, w, 40);
    scheduled!(a b c d e f g h, w, 48);
    scheduled!(a b c d e f g h, w, 56);
    for (word, end) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = add(*word, end);
    }
}

kernel!();

fn splat(word: u32) -> V {
    word
}

fn load(row: &[u32; MAX_LANES]) -> V {
    row[0]
}

fn store(row: &mut [u32; MAX_LANES], v: V) {
    row[0] = v;
}

fn add(x: V, y: V) -> V {
    x.wrapping_add(y)
}

fn xor(x: V, y: V) -> V {
    x ^ y
}

fn choose(e: V, f: V, g: V) -> V {
    g ^ (e & (f ^ g))
}

fn majority(a: V, b: V, c: V) -> V {
    b ^ ((a ^ b) & (b ^ c))
}

fn big_sigma0(x: V) -> V {
    x.rotate_right(2) ^ x.rotate_right(13) ^ x.rotate_right(22)
}

fn big_sigma1(x: V) -> V {
    x.rotate_right(6) ^ x.rotate_right(11) ^ x.rotate_right(25)
}

fn small_sigma0(x: V) -> V {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

fn small_sigma1(x: V) -> V {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}
