//! AVX2: eight lanes. A rotation is two shifts.

use std::arch::x86_64::*;

use crate::block::K;
use crate::lanes::{Lanes, MAX_LANES};

/// Lanes of a vector.
pub(crate) const LANES: usize = 8;

type V = __m256i;

/// Whether this CPU has the instructions that this module needs.
pub(crate) fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Runs `iterations` of the first eight lanes.
pub(crate) fn advance(lanes: &mut Lanes, iterations: u32) {
    assert!(is_available(), "AVX2");
    // SAFETY: the CPU has AVX2, as was just asserted.
    unsafe { run(lanes, iterations) }
}

kernel!(#[target_feature(enable = "avx2")]);

#[target_feature(enable = "avx2")]
#[inline]
fn splat(word: u32) -> V {
    _mm256_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(row: &[u32; MAX_LANES]) -> V {
    let mut lanes = [0; LANES];
    lanes.copy_from_slice(&row[..LANES]);
    // SAFETY: 32 bytes to 32 bytes, and every bit pattern is a vector.
    unsafe { core::mem::transmute::<[u32; LANES], V>(lanes) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(row: &mut [u32; MAX_LANES], v: V) {
    // SAFETY: 32 bytes to 32 bytes, and every bit pattern is an array of integers.
    let lanes = unsafe { core::mem::transmute::<V, [u32; LANES]>(v) };
    row[..LANES].copy_from_slice(&lanes);
}

#[target_feature(enable = "avx2")]
#[inline]
fn add(x: V, y: V) -> V {
    _mm256_add_epi32(x, y)
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor(x: V, y: V) -> V {
    _mm256_xor_si256(x, y)
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor3(x: V, y: V, z: V) -> V {
    xor(xor(x, y), z)
}

#[target_feature(enable = "avx2")]
#[inline]
fn choose(e: V, f: V, g: V) -> V {
    xor(g, _mm256_and_si256(e, xor(f, g)))
}

/// `a XOR b` of one round is `b XOR c` of the next: the compiler keeps it.
#[target_feature(enable = "avx2")]
#[inline]
fn majority(a: V, b: V, c: V) -> V {
    xor(b, _mm256_and_si256(xor(a, b), xor(b, c)))
}

macro_rules! rotate_right {
    ($x:expr, $by:literal) => {
        _mm256_or_si256(_mm256_srli_epi32::<$by>($x), _mm256_slli_epi32::<{ 32 - $by }>($x))
    };
}

#[target_feature(enable = "avx2")]
#[inline]
fn big_sigma0(x: V) -> V {
    xor3(rotate_right!(x, 2), rotate_right!(x, 13), rotate_right!(x, 22))
}

#[target_feature(enable = "avx2")]
#[inline]
fn big_sigma1(x: V) -> V {
    xor3(rotate_right!(x, 6), rotate_right!(x, 11), rotate_right!(x, 25))
}

#[target_feature(enable = "avx2")]
#[inline]
fn small_sigma0(x: V) -> V {
    xor3(rotate_right!(x, 7), rotate_right!(x, 18), _mm256_srli_epi32::<3>(x))
}

#[target_feature(enable = "avx2")]
#[inline]
fn small_sigma1(x: V) -> V {
    xor3(rotate_right!(x, 17), rotate_right!(x, 19), _mm256_srli_epi32::<10>(x))
}
