#![doc = include_str!("../README.md")]
#![deny(unsafe_op_in_unsafe_fn)]

#[macro_use]
mod chain;
mod backend;
mod batch;
mod block;
mod calibration;
mod lanes;
mod plan;
mod portable;
mod self_test;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
#[cfg(target_arch = "x86_64")]
mod two_units;

pub use backend::{Backend, Unavailable, UnknownBackend};
pub use batch::{Batch, Pbkdf2};
pub use calibration::{backend_report, calibrate};
pub use lanes::MAX_LANES;

/// The length of a derived key, in bytes.
pub const KEY_LEN: usize = 32;
