//! Derivations after the backends were measured. A program of its own: the measurement is for the whole process.

mod common;

use sha256_lanes::{backend_report, calibrate};

use common::Job;

#[test]
#[cfg_attr(miri, ignore = "measures time")]
fn keys_are_the_same_after_the_measurement() {
    assert!(backend_report().ends_with(" (not measured in this session)"), "{}", backend_report());
    calibrate();
    assert!(backend_report().contains(" (passwords a second at 4096 iterations: portable "));
    for count in 1..=40_u32 {
        let job = |i: u32| Job::new(&i.to_be_bytes(), &count.to_be_bytes(), 1 + i * 31 % 70);
        let jobs: Vec<_> = (0..count).map(job).collect();
        common::check(&jobs, 9);
    }
}
