//! Every backend of this CPU against the `pbkdf2` crate.

use std::num::NonZeroU32;

use proptest::prelude::*;
use sha2::Sha256;
use sha256_lanes::{Backend, MAX_LANES, Pbkdf2};

/// Every way to derive: each backend by itself, then the mixture.
fn ways<'a>(salt: &'a [u8], iterations: u32) -> Vec<(String, Pbkdf2<'a>)> {
    let plain = Pbkdf2::new(salt, NonZeroU32::new(iterations).expect("positive"));
    Backend::available()
        .map(|b| (b.to_string(), plain.with_backend(b).expect("available")))
        .chain([("mixed".to_owned(), plain)])
        .collect()
}

fn reference(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations)
}

fn check(passwords: &[Vec<u8>], salt: &[u8], iterations: u32, slice: u32) {
    let expected: Vec<_> = passwords.iter().map(|p| reference(p, salt, iterations)).collect();
    for (name, pbkdf2) in ways(salt, iterations) {
        let mut keys = Vec::new();
        for passwords in passwords.chunks(MAX_LANES) {
            let mut batch = pbkdf2.batch(passwords);
            while !batch.is_done() {
                batch.advance(slice);
            }
            keys.extend(batch.keys().map(|key| *key));
        }
        assert_eq!(keys, expected, "{name}, {} passwords, {iterations}", passwords.len());
    }
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
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    for (_, pbkdf2) in ways(b"salt", 1) {
        let key = pbkdf2.derive(b"passwd", NonZeroU32::MIN, || ());
        assert_eq!(hex(&*key), "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    }
    for (_, pbkdf2) in ways(b"NaCl", 80000) {
        let key = pbkdf2.derive(b"Password", NonZeroU32::MIN, || ());
        assert_eq!(hex(&*key), "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56");
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours there")]
fn ticks_of_one_stream() {
    let every = NonZeroU32::new(1024).expect("positive");
    for (iterations, ticks) in [(1, 0), (1024, 0), (1025, 0), (1026, 1), (4096, 3), (4098, 4)] {
        for (name, pbkdf2) in ways(b"salt", iterations) {
            let mut ticked = 0;
            let key = pbkdf2.derive(b"pencil", every, || ticked += 1);
            assert_eq!(*key, reference(b"pencil", b"salt", iterations), "{name}");
            assert_eq!(ticked, ticks, "{name}, {iterations}");
        }
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

#[test]
fn keys_come_group_by_group() {
    let pbkdf2 = Pbkdf2::new(b"salt", NonZeroU32::new(10).expect("positive"));
    let mut batch = pbkdf2.with_backend(Backend::Portable).expect("anywhere").batch(["a", "b"]);
    batch.advance(5);
    assert_eq!(batch.keys().count(), 0);
    batch.advance(5);
    assert_eq!(batch.keys().count(), 1);
    assert!(!batch.is_done());
    batch.advance(9);
    assert!(batch.is_done());
    batch.advance(9);
    assert_eq!(batch.keys().count(), 2);
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
