//! Properties of the forms of other systems that hold for any verifier and any text.

use proptest::prelude::*;
use scram_core::formats::{Format, export, import};
use scram_core::{Mechanism, Parameters, Verifier};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn written_is_read(verifier in verifier(), format in format()) {
        if let Ok(text) = export(&verifier, format) {
            let read = import(&text, Some(verifier.mechanism())).map(|v| v.to_string());
            prop_assert_eq!(read, Ok(verifier.to_string()), "{}", text);
        }
    }

    /// A text with one changed character is refused or another verifier; it never panics.
    #[test]
    fn changed_text_is_another_one(
        verifier in verifier(),
        format in format(),
        position in any::<prop::sample::Index>(),
        character in any::<char>(),
    ) {
        let Ok(text) = export(&verifier, format) else { return Ok(()) };
        let mut characters: Vec<char> = text.chars().collect();
        let position = position.index(characters.len());
        characters[position] = character;
        let changed: String = characters.into_iter().collect();
        if let Ok(read) = import(&changed, None) {
            let same = read.to_string() == verifier.to_string();
            // The names of Dovecot's schemes and hexadecimal digits have no case.
            let is_case = changed.eq_ignore_ascii_case(&text);
            // Without the member `hash` it is SHA-1's.
            let is_default = format == Format::Ejabberd && !changed.contains("\"hash\"");
            prop_assert!(!same || is_case || is_default || changed == text, "{}", changed);
        }
    }

    #[test]
    fn no_reader_panics(text in ".{0,300}", start in prop::sample::select(STARTS)) {
        let _ = import(&text, None);
        let _ = import(&format!("{start}{text}"), None);
    }
}

/// Starts of the forms, so that the readers get beyond them.
const STARTS: &[&str] = &[
    "{SCRAM-SHA-256}",
    "{SCRAM-SHA-256.HEX}",
    "{SCRAM-SHA-256.B64}",
    "{scram,<<\"",
    "#scram{",
    "scram:",
    "salt=",
    "return {[\"iteration_count\"] = 1; ",
    "{\"iteration_count\": ",
    "{\"iterationcount\": ",
    "{\"SCRAM-SHA-256\": ",
    "SCRAM-SHA-256 $ ",
];

fn format() -> impl Strategy<Value = Format> {
    prop::sample::select(Format::ALL.as_slice())
}

fn verifier() -> impl Strategy<Value = Verifier> {
    let salt = prop_oneof![
        "[ -~]{1,60}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..200),
        prop::collection::vec(any::<u8>(), 16),
        prop::collection::vec(any::<u8>(), 28),
    ];
    let parts = (
        prop::sample::select(Mechanism::ALL.as_slice()),
        prop_oneof![1..20_000_u32, 4096..=16384_u32],
        salt,
        any::<[u8; 64]>(),
        any::<[u8; 64]>(),
    );
    parts.prop_map(|(mechanism, count, salt, stored_key, server_key)| {
        let key = |bytes: &[u8; 64]| {
            scram_core::keys::Key::new(mechanism, &bytes[..mechanism.key_len()]).expect("a key")
        };
        let count = std::num::NonZeroU32::new(count).expect("a count");
        let parameters = Parameters::new(mechanism, count, salt).expect("parameters");
        Verifier::from_keys(parameters, key(&stored_key), key(&server_key))
    })
}
