//! Stored secrets: a verifier that parses is printed as the same text again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use password_audit::{Kind, identify};
use scram_core::{Password, Verifier};

fuzz_target!(|input: &[u8]| {
    let prepared = Password::prepare(input);
    assert!(prepared.as_bytes().len() <= input.len().max(1) * 11);
    assert_eq!(prepared.is_empty(), input.is_empty());

    let Ok(text) = str::from_utf8(input) else { return };
    let kind = identify(text, |_| false);
    match text.parse::<Verifier>() {
        Ok(verifier) => {
            assert_eq!(verifier.to_string(), text);
            assert!(matches!(kind, Kind::ScramSha1 | Kind::ScramSha256 | Kind::ScramSha512));
        }
        Err(_) => assert!(!matches!(kind, Kind::ScramSha1 | Kind::ScramSha256 | Kind::ScramSha512)),
    }
});
