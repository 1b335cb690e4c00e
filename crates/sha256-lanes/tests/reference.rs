//! Every backend of this CPU against the `pbkdf2` crate.

mod common;

use std::num::NonZeroU32;

use proptest::prelude::*;
use sha256_lanes::{Backend, Batch, MAX_LANES, Pbkdf2};

use common::{Job, batch, ways};

/// Every password with the same salt and count.
fn check(passwords: &[Vec<u8>], salt: &[u8], iterations: u32, slice: u32) {
    let jobs: Vec<_> = passwords.iter().map(|p| Job::new(p, salt, iterations)).collect();
    common::check(&jobs, slice);
}

/// Different in every lane, and of the length asked for.
fn password(length: usize, lane: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 7 + lane * 31 + length) % 256).expect("a byte")).collect()
}

#[test]
#[cfg_attr(miri, ignore = "takes hours there")]
fn every_password_length_in_every_lane() {
    // The lengths of one batch are consecutive, and start anywhere in it.
    for start in 0..=300 {
        let passwords: Vec<_> = (0..MAX_LANES).map(|lane| password(start + lane, lane)).collect();
        check(&passwords, b"salt", 2, 1024);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours there")]
fn every_salt_length() {
    let passwords: Vec<_> = (0..MAX_LANES).map(|lane| password(8, lane)).collect();
    for length in 1..=300 {
        check(&passwords, &password(length, 5), 2, 1024);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours there")]
fn every_count_of_passwords() {
    let passwords: Vec<_> = (0..70).map(|lane| password(lane % 20, lane)).collect();
    for count in 0..=70 {
        check(&passwords[..count], b"W22ZaJ0SNY7soEsUEjb6gQ", 3, 1024);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours there")]
fn iteration_counts() {
    let passwords: Vec<_> = (0..MAX_LANES).map(|lane| password(lane * 5, lane)).collect();
    for iterations in [1, 2, 3, 1024, 1025, 4095, 4096] {
        check(&passwords, b"salt", iterations, 1024);
        check(&passwords[..3], b"salt", iterations, u32::MAX);
    }
}

/// RFC 7677 section 3's password and salt; the key from RFC 7914 section 11 for the second one.
#[test]
#[cfg_attr(miri, ignore = "takes hours there")]
fn published_vectors() {
    let cases = [
        ("passwd", "salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
        (
            "Password",
            "NaCl",
            80000,
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56",
        ),
    ];
    for (password, salt, iterations, expected) in cases {
        let job = Job::new(password.as_bytes(), salt.as_bytes(), iterations);
        for (name, backend) in ways() {
            let jobs = vec![job.clone(); MAX_LANES];
            for key in common::derive(batch(backend), &jobs, || MAX_LANES, || 1024) {
                let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
                assert_eq!(hex, expected, "{name}");
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours there")]
fn ticks_of_one_stream() {
    let every = NonZeroU32::new(1024).expect("positive");
    for (iterations, ticks) in [(1, 0), (1024, 0), (1025, 0), (1026, 1), (4096, 3), (4098, 4)] {
        let job = Job::new(b"pencil", b"salt", iterations);
        let mut ticked = 0;
        let key = job.pbkdf2().derive(b"pencil", every, || ticked += 1);
        assert_eq!(*key, job.reference());
        assert_eq!(ticked, ticks, "{iterations}");
    }
}

/// The edges of a block in one batch, because Miri has no time for more.
#[test]
fn edges_of_a_block() {
    let passwords = [0, 1, 55, 56, 63, 64, 65, 128, 129].map(|length| password(length, length));
    for length in [51, 52] {
        check(&passwords, &password(length, 5), 3, 2);
    }
}

/// A lane that is complete is filled again while the others run on.
#[test]
fn a_short_derivation_ends_first() {
    for (name, backend) in ways() {
        let mut batch = batch(backend);
        if batch.room() < 2 {
            continue;
        }
        let (long, short) = (Job::new(b"a", b"b", 100), Job::new(b"c", b"d", 11));
        batch.push(7, &long.password, &long.pbkdf2());
        let mut tags = Vec::new();
        for tag in 0..20 {
            if tag < 9 {
                batch.push(tag + 100, &short.password, &short.pbkdf2());
            }
            batch.advance(10);
            while let Some((tag, key)) = batch.pop() {
                let job = if tag == 7 { &long } else { &short };
                assert_eq!(*key, job.reference(), "{name}, {tag}");
                tags.push(tag);
            }
        }
        assert_eq!(tags, [100, 101, 102, 103, 104, 105, 106, 107, 108, 7], "{name}");
        assert!(batch.is_empty());
    }
}

#[test]
fn derivations_can_be_given_up() {
    for (name, backend) in ways() {
        let mut batch = batch(backend);
        let count = batch.room();
        let jobs: Vec<_> =
            (0..count).map(|i| Job::new(&[u8::try_from(i).expect("few")], b"s", 9)).collect();
        for (tag, job) in jobs.iter().enumerate() {
            batch.push(tag, &job.password, &job.pbkdf2());
        }
        assert_eq!(batch.room(), 0, "{name}");
        batch.advance(3);
        batch.retain(|tag| tag % 3 == 1);
        assert_eq!(batch.room(), count - (count + 1) / 3, "{name}");
        batch.advance(u32::MAX);
        while !batch.is_empty() {
            batch.advance(u32::MAX);
            while let Some((tag, key)) = batch.pop() {
                assert_eq!(tag % 3, 1, "{name}");
                assert_eq!(*key, jobs[tag].reference(), "{name}, {tag}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "room for a derivation")]
fn more_than_there_is_room_for() {
    let mut batch = Batch::with_backend(Backend::Portable).expect("anywhere");
    let pbkdf2 = Pbkdf2::new(b"salt", NonZeroU32::new(10).expect("positive"));
    for tag in 0..=MAX_LANES {
        batch.push(tag, b"a", &pbkdf2);
    }
}

#[test]
fn names() {
    for backend in Backend::ALL {
        assert_eq!(backend.to_string().parse(), Ok(backend));
    }
    assert!("sse9".parse::<Backend>().is_err());
    assert!(Backend::Portable.is_available());
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "takes hours there")]
    fn any_input(
        passwords in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..40),
        salt in prop::collection::vec(any::<u8>(), 0..200),
        iterations in 1_u32..60,
        slice in 1_u32..30,
    ) {
        check(&passwords, &salt, iterations, slice);
    }
}
