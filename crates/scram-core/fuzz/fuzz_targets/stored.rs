//! Stored secrets: a verifier that parses is printed as the same text again, and a credential of
//! another system survives the way to each system that can hold it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use password_audit::{Kind, identify};
use scram_core::formats::{Format, Stored, export, import};
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
        Err(_) if matches!(kind, Kind::ScramSha1 | Kind::ScramSha256 | Kind::ScramSha512) => {
            assert!(Stored::read(text).is_ok());
        }
        Err(_) => {}
    }
    let Ok(verifier) = import(text, None) else { return };
    for format in Format::ALL {
        if let Ok(text) = export(&verifier, format) {
            let back = import(&text, Some(verifier.mechanism())).expect("what was written is read");
            assert_eq!(back.to_string(), verifier.to_string());
        }
    }
});
