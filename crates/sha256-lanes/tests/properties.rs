//! Random derivations in every backend, against the `pbkdf2` crate: mixed salts and counts in one batch, lanes that
//! stay empty, and `advance` cut at any point.

mod common;

use proptest::prelude::*;

use common::{Job, batch, derive, ways};

fn job(
    iterations: impl Strategy<Value = u32>,
    salt: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Job> {
    let password = prop::collection::vec(any::<u8>(), 0..200);
    (password, salt, iterations)
        .prop_map(|(password, salt, iterations)| Job::new(&password, &salt, iterations))
}

fn any_salt() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..40),
        prop::collection::vec(any::<u8>(), 1..=1024),
    ]
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "takes hours there")]
    fn mixed_salts_and_counts(
        jobs in prop::collection::vec(job(prop_oneof![1..=3_u32, 1..200_u32], any_salt()), 1..40),
        fills in prop::collection::vec(1_usize..=16, 1..10),
        slices in prop::collection::vec(1_u32..70, 1..10),
    ) {
        let expected: Vec<_> = jobs.iter().map(Job::reference).collect();
        for (name, backend) in ways() {
            let mut fills = fills.iter().copied().cycle();
            let mut slices = slices.iter().copied().cycle();
            let fill = || fills.next().expect("endless");
            let slice = || slices.next().expect("endless");
            let keys = derive(batch(backend), &jobs, fill, slice);
            prop_assert_eq!(&keys, &expected, "{}", name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(any(miri, debug_assertions), ignore = "long derivations: with --release")]
    fn long_derivations(
        jobs in prop::collection::vec(
            job(prop_oneof![Just(4095_u32), Just(4096), 1..20_000_u32, Just(100_000)], any_salt()), 16..24),
        slices in prop::collection::vec(1_u32..3000, 1..10),
    ) {
        let expected: Vec<_> = jobs.iter().map(Job::reference).collect();
        for (name, backend) in ways() {
            let mut slices = slices.iter().copied().cycle();
            let keys = derive(batch(backend), &jobs, || 16, || slices.next().expect("endless"));
            prop_assert_eq!(&keys, &expected, "{}", name);
        }
    }
}

/// One cut after each number of iterations, with each number of lanes in use.
#[test]
#[cfg_attr(miri, ignore = "takes hours there")]
fn a_cut_anywhere() {
    const ITERATIONS: u32 = 24;
    let jobs: Vec<_> = (0..16_u8)
        .map(|i| Job::new(&[i; 9], &vec![i ^ 0x55; usize::from(i) * 60 + 1], ITERATIONS))
        .collect();
    let expected: Vec<_> = jobs.iter().map(Job::reference).collect();
    for (name, backend) in ways() {
        for count in 1..=16 {
            for cut in 1..ITERATIONS {
                let mut slices = [cut, ITERATIONS - cut].into_iter().cycle();
                let slice = || slices.next().expect("endless");
                let keys = derive(batch(backend), &jobs[..count], || count, slice);
                assert_eq!(keys, expected[..count], "{name}, {count} lanes, cut after {cut}");
            }
        }
    }
}

/// Counts that end at different times, on each of which a lane is emptied and another one filled.
#[test]
#[cfg_attr(miri, ignore = "takes hours there")]
fn every_lane_ends_at_its_own_time() {
    let jobs: Vec<_> = (0..60_u32)
        .map(|i| Job::new(&i.to_be_bytes(), &(i * 7).to_be_bytes(), 1 + i * 13 % 61))
        .collect();
    common::check(&jobs, u32::MAX);
    common::check(&jobs, 1);
    common::check(&jobs, 7);
}
