//! The SHA extensions: one to four streams, interleaved. A stream waits for the latency of
//! `sha256rnds2`; the others fill the gaps.

use std::arch::x86_64::*;

use crate::block::{BLOCK_LEN, K};
use crate::chain::{END, LENGTH};
use crate::lanes::{self, Lanes};

/// Eight words of one stream, in two vectors.
type Pair = [__m128i; 2];

/// Whether this CPU has the instructions that this module needs.
pub(crate) fn is_available() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
}

/// Runs `iterations` of the first `count` lanes, 1 to 4.
pub(crate) fn advance(lanes: &mut Lanes, count: usize, iterations: u32) {
    assert!(is_available(), "SHA extensions");
    // SAFETY: the CPU has the SHA extensions, SSSE3 and SSE4.1, as was just asserted.
    unsafe {
        match count {
            1 => run::<1>(lanes, iterations),
            2 => run::<2>(lanes, iterations),
            3 => run::<3>(lanes, iterations),
            _ => run::<4>(lanes, iterations),
        }
    }
}

/// The compression function on any block.
pub(crate) fn block(state: &mut [u32; 8], block: &[u8; BLOCK_LEN]) {
    assert!(is_available(), "SHA extensions");
    // SAFETY: the CPU has the SHA extensions, SSSE3 and SSE4.1, as was just asserted.
    unsafe { any_block(state, block) }
}

/// Four rounds of every stream.
macro_rules! four {
    ($state:ident, $wk:expr) => {
        for (i, [abef, cdgh]) in $state.iter_mut().enumerate() {
            let wk = $wk(i);
            *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, wk);
            *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0e>(wk));
        }
    };
}

/// The message words of the four rounds from `$t` on, and the rounds.
macro_rules! scheduled_four {
    ($state:ident, $w:ident, $t:literal) => {
        for w in $w.iter_mut() {
            const G: usize = $t / 4;
            let expanded = _mm_sha256msg1_epu32(w[G % 4], w[(G + 1) % 4]);
            let carried = _mm_alignr_epi8::<4>(w[(G + 3) % 4], w[(G + 2) % 4]);
            w[G % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(expanded, carried), w[(G + 3) % 4]);
        }
        four!($state, |i: usize| _mm_add_epi32($w[i][$t / 4 % 4], constants($t)));
    };
}

/// Hashes the block that follows a block of key: 32 bytes of message, then padding that is always
/// the same, folded into the constants.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn compress<const N: usize>(from: &[Pair; N], message: &[Pair; N]) -> [Pair; N] {
    let mut state = *from;
    let (end, length) = (vector([END, 0, 0, 0]), vector([0, 0, 0, LENGTH]));
    let mut w = [[end; 4]; N];
    for (w, [low, high]) in w.iter_mut().zip(message) {
        *w = [*low, *high, end, length];
    }

    four!(state, |i: usize| _mm_add_epi32(w[i][0], constants(0)));
    four!(state, |i: usize| _mm_add_epi32(w[i][1], constants(4)));
    four!(state, |_| vector([K[8].wrapping_add(END), K[9], K[10], K[11]]));
    four!(state, |_| vector([K[12], K[13], K[14], K[15].wrapping_add(LENGTH)]));
    scheduled_four!(state, w, 16);
    scheduled_four!(state, w, 20);
    // σ₀ of words 9 to 12 is zero: what sha256msg1 would give is words 8 to 11 themselves.
    for w in &mut w {
        let carried = _mm_alignr_epi8::<4>(w[1], w[0]);
        w[2] = _mm_sha256msg2_epu32(_mm_add_epi32(end, carried), w[1]);
    }
    four!(state, |i: usize| _mm_add_epi32(w[i][2], constants(24)));
    scheduled_four!(state, w, 28);
    scheduled_four!(state, w, 32);
    scheduled_four!(state, w, 36);
    scheduled_four!(state, w, 40);
    scheduled_four!(state, w, 44);
    scheduled_four!(state, w, 48);
    scheduled_four!(state, w, 52);
    scheduled_four!(state, w, 56);
    scheduled_four!(state, w, 60);

    for (state, from) in state.iter_mut().zip(from) {
        *state = [_mm_add_epi32(state[0], from[0]), _mm_add_epi32(state[1], from[1])];
    }
    state
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn run<const N: usize>(lanes: &mut Lanes, iterations: u32) {
    let zero = [_mm_setzero_si128(); 2];
    let (mut inner, mut outer, mut u, mut key) = ([zero; N], [zero; N], [zero; N], [zero; N]);
    for i in 0..N {
        inner[i] = to_state(to_pair(lanes::column(&lanes.inner, i)));
        outer[i] = to_state(to_pair(lanes::column(&lanes.outer, i)));
        u[i] = to_pair(lanes::column(&lanes.u, i));
        key[i] = to_pair(lanes::column(&lanes.key, i));
    }

    for _ in 0..iterations {
        let mut state = compress(&inner, &u);
        for i in 0..N {
            u[i] = to_words(state[i]);
        }
        state = compress(&outer, &u);
        for i in 0..N {
            u[i] = to_words(state[i]);
            key[i] = [_mm_xor_si128(key[i][0], u[i][0]), _mm_xor_si128(key[i][1], u[i][1])];
        }
    }

    for i in 0..N {
        lanes::set_column(&mut lanes.u, i, &from_pair(u[i]));
        lanes::set_column(&mut lanes.key, i, &from_pair(key[i]));
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn any_block(words: &mut [u32; 8], block: &[u8; BLOCK_LEN]) {
    let mut message = [0; 16];
    for (word, four) in message.iter_mut().zip(block.chunks_exact(4)) {
        *word = four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    let [w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15] = message;
    let mut w = [[
        vector([w0, w1, w2, w3]),
        vector([w4, w5, w6, w7]),
        vector([w8, w9, w10, w11]),
        vector([w12, w13, w14, w15]),
    ]];
    let from = to_state(to_pair(*words));
    let mut state = [from];
    four!(state, |i: usize| _mm_add_epi32(w[i][0], constants(0)));
    four!(state, |i: usize| _mm_add_epi32(w[i][1], constants(4)));
    four!(state, |i: usize| _mm_add_epi32(w[i][2], constants(8)));
    four!(state, |i: usize| _mm_add_epi32(w[i][3], constants(12)));
    scheduled_four!(state, w, 16);
    scheduled_four!(state, w, 20);
    scheduled_four!(state, w, 24);
    scheduled_four!(state, w, 28);
    scheduled_four!(state, w, 32);
    scheduled_four!(state, w, 36);
    scheduled_four!(state, w, 40);
    scheduled_four!(state, w, 44);
    scheduled_four!(state, w, 48);
    scheduled_four!(state, w, 52);
    scheduled_four!(state, w, 56);
    scheduled_four!(state, w, 60);
    let [[abef, cdgh]] = state;
    let end = [_mm_add_epi32(abef, from[0]), _mm_add_epi32(cdgh, from[1])];
    *words = from_pair(to_words(end));
}

/// The constants of the four rounds from `t` on.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn constants(t: usize) -> __m128i {
    vector([K[t], K[t + 1], K[t + 2], K[t + 3]])
}

/// The order in which the instructions keep the state: `f e b a` and `h g d c`, from the low end.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn to_state([abcd, efgh]: Pair) -> Pair {
    [
        _mm_shuffle_epi32::<0x1b>(_mm_unpacklo_epi64(abcd, efgh)),
        _mm_shuffle_epi32::<0x1b>(_mm_unpackhi_epi64(abcd, efgh)),
    ]
}

/// The order of a message and of [`lanes::Words`].
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn to_words([abef, cdgh]: Pair) -> Pair {
    let (abef, cdgh) = (_mm_shuffle_epi32::<0x1b>(abef), _mm_shuffle_epi32::<0x1b>(cdgh));
    [_mm_unpacklo_epi64(abef, cdgh), _mm_unpackhi_epi64(abef, cdgh)]
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn to_pair([a, b, c, d, e, f, g, h]: [u32; 8]) -> Pair {
    [vector([a, b, c, d]), vector([e, f, g, h])]
}

fn from_pair(pair: Pair) -> [u32; 8] {
    // SAFETY: 32 bytes to 32 bytes, and every bit pattern is an array of integers.
    unsafe { core::mem::transmute::<Pair, [u32; 8]>(pair) }
}

#[inline]
fn vector(words: [u32; 4]) -> __m128i {
    // SAFETY: 16 bytes to 16 bytes, and every bit pattern is a vector.
    unsafe { core::mem::transmute::<[u32; 4], __m128i>(words) }
}
