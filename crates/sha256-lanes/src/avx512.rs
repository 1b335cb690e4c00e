//! AVX-512F: sixteen lanes. It rotates in one instruction and has any function of three operands.

use std::arch::x86_64::*;

use crate::block::K;
use crate::lanes::{Lanes, MAX_LANES};

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

type V = __m512i;

/// Whether this CPU has the instructions that this module needs.
pub(crate) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// Runs `iterations` of all lanes.
pub(crate) fn advance(lanes: &mut Lanes, iterations: u32) {
    assert!(is_available(), "AVX-512F");
    // SAFETY: the CPU has AVX-512F, as was just asserted.
    unsafe { run(lanes, iterations) }
}

kernel!(#[target_feature(enable = "avx512f")]);

#[target_feature(enable = "avx512f")]
#[inline]
fn splat(word: u32) -> V {
    _mm512_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(row: &[u32; MAX_LANES]) -> V {
    // SAFETY: 64 bytes to 64 bytes, and every bit pattern is a vector.
    unsafe { core::mem::transmute::<[u32; LANES], V>(*row) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(row: &mut [u32; MAX_LANES], v: V) {
    // SAFETY: 64 bytes to 64 bytes, and every bit pattern is an array of integers.
    *row = unsafe { core::mem::transmute::<V, [u32; LANES]>(v) };
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(x: V, y: V) -> V {
    _mm512_add_epi32(x, y)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor(x: V, y: V) -> V {
    _mm512_xor_si512(x, y)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor3(x: V, y: V, z: V) -> V {
    _mm512_ternarylogic_epi32::<0x96>(x, y, z)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn choose(e: V, f: V, g: V) -> V {
    _mm512_ternarylogic_epi32::<0xca>(e, f, g)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn majority(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<0xe8>(a, b, c)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn big_sigma0(x: V) -> V {
    xor3(_mm512_ror_epi32::<2>(x), _mm512_ror_epi32::<13>(x), _mm512_ror_epi32::<22>(x))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn big_sigma1(x: V) -> V {
    xor3(_mm512_ror_epi32::<6>(x), _mm512_ror_epi32::<11>(x), _mm512_ror_epi32::<25>(x))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn small_sigma0(x: V) -> V {
    xor3(_mm512_ror_epi32::<7>(x), _mm512_ror_epi32::<18>(x), _mm512_srli_epi32::<3>(x))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn small_sigma1(x: V) -> V {
    xor3(_mm512_ror_epi32::<17>(x), _mm512_ror_epi32::<19>(x), _mm512_srli_epi32::<10>(x))
}
