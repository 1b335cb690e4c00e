//! The environment variable that names a backend. A program of its own: the variable is read once in a process.

use std::num::NonZeroU32;

use sha256_lanes::{Batch, Pbkdf2, backend_report, calibrate};

#[test]
fn the_environment_names_a_backend() {
    // SAFETY: the only test of this program, so that no other thread reads the environment.
    unsafe { std::env::set_var("SHA256_LANES_BACKEND", "portable") };
    calibrate();
    assert_eq!(backend_report(), "portable (set by SHA256_LANES_BACKEND)");
    assert_eq!(Batch::new().room(), 1);
    let pbkdf2 = Pbkdf2::new(b"salt", NonZeroU32::MIN);
    let key = pbkdf2.derive(b"password", NonZeroU32::MIN, || ());
    assert_eq!(key[..4], [0x12, 0x0f, 0xb6, 0xcf]);
}
