//! Properties that hold for any input.

use std::num::NonZeroU32;

use pbkdf2::pbkdf2_hmac;
use proptest::prelude::*;
use scram_core::keys::{Key, MAX_ITERATIONS_WITHOUT_TICK, TICK_EVERY};
use scram_core::message::{ClientFinal, ClientFirst, ServerFinal, ServerFirst};
use scram_core::server::{Request, Terms};
use scram_core::state::Seal;
use scram_core::{Mechanism, Parameters, Password, Verifier};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Against the `pbkdf2` crate, whose own tests have the RFC's vectors; the keys by their definition.
    #[test]
    fn derivation_is_pbkdf2(
        mechanism in mechanism(),
        password in prop::collection::vec(1..=127_u8, 0..300),
        salt in prop::collection::vec(any::<u8>(), 1..200),
        iterations in 1..50_u32,
    ) {
        let password = Password::prepare(&password);
        let parameters = Parameters::new(mechanism, count(iterations), salt.clone())?;
        let client_key = parameters.salted_password(&password, || {}).client_key();
        let mut salted = vec![0; mechanism.key_len()];
        match mechanism {
            Mechanism::ScramSha1 => pbkdf2_hmac::<Sha1>(password.as_bytes(), &salt, iterations, &mut salted),
            Mechanism::ScramSha256 => pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, iterations, &mut salted),
            Mechanism::ScramSha512 => pbkdf2_hmac::<Sha512>(password.as_bytes(), &salt, iterations, &mut salted),
        }
        let salted = Key::new(mechanism, &salted).expect("a key");
        let expected = salted.hmac(mechanism, &[b"Client Key"]);
        prop_assert_eq!(client_key.as_bytes(), expected.as_bytes());
        let stored = match mechanism {
            Mechanism::ScramSha1 => Sha1::digest(expected.as_bytes()).to_vec(),
            Mechanism::ScramSha256 => Sha256::digest(expected.as_bytes()).to_vec(),
            Mechanism::ScramSha512 => Sha512::digest(expected.as_bytes()).to_vec(),
        };
        let hashed = expected.hash(mechanism);
        prop_assert_eq!(hashed.as_bytes(), stored);
    }

    #[test]
    fn derived_is_printed_parsed_and_verified(
        mechanism in mechanism(),
        password in any::<Vec<u8>>(),
        salt in prop::collection::vec(any::<u8>(), 1..200),
        iterations in 1..20_u32,
    ) {
        let prepared = Password::prepare(&password);
        let parameters = Parameters::new(mechanism, count(iterations), salt)?;
        let verifier = Verifier::derive(parameters, &prepared, || {});
        let text = verifier.to_string();
        let parsed: Verifier = text.parse()?;
        prop_assert_eq!(parsed.to_string(), text);
        prop_assert!(parsed.verify(&prepared, || {}), "the password");
        let mut other = prepared.as_bytes().to_vec();
        other.push(b'x');
        prop_assert!(!parsed.verify(&Password::prepare(&other), || {}), "another one");
    }

    /// A verifier with one changed byte is malformed or does not match the password.
    #[test]
    fn changed_verifier_is_not_accepted(
        position in any::<prop::sample::Index>(),
        byte in 0x20..0x7F_u8,
    ) {
        let parameters = Parameters::new(Mechanism::ScramSha256, count(3), b"salt".to_vec())?;
        let password = Password::prepare(b"pencil");
        let mut text = Verifier::derive(parameters, &password, || {}).to_string().into_bytes();
        let position = position.index(text.len());
        prop_assume!(text[position] != byte);
        text[position] = byte;
        let text = String::from_utf8(text)?;
        // The count is bounded, because a derivation for a huge count would take hours.
        if let Ok(changed) = text.parse::<Verifier>()
            && changed.iterations().get() < 100
        {
            prop_assert!(!changed.verify(&password, || {}), "byte {position}");
        }
    }

    /// One tick for every [`TICK_EVERY`] iterations, so that a caller can leave a long derivation.
    #[test]
    fn derivation_ticks(mechanism in mechanism(), iterations in 1..3 * MAX_ITERATIONS_WITHOUT_TICK) {
        let mut ticks = 0;
        let parameters = Parameters::new(mechanism, count(iterations), vec![1])?;
        parameters.salted_password(&Password::prepare(b"x"), || ticks += 1);
        let is_short = mechanism != Mechanism::ScramSha256 && iterations <= MAX_ITERATIONS_WITHOUT_TICK;
        let expected = if is_short { 0 } else { (iterations - 1) / TICK_EVERY };
        // The lanes tick between two parts, and the loop before an iteration: one less where a part ends the work.
        prop_assert!((expected.saturating_sub(1)..=expected).contains(&ticks), "{ticks} of {expected}");
    }

    #[test]
    fn no_reader_panics(bytes in any::<Vec<u8>>(), text in ".{0,200}") {
        let seal = Seal::new(Key::new(Mechanism::ScramSha256, &[0; 32]).expect("a key"));
        for message in [bytes.as_slice(), text.as_bytes()] {
            let _ = ClientFirst::from_wire(message);
            let _ = ServerFirst::from_wire(message);
            for mechanism in Mechanism::ALL {
                let _ = ClientFinal::from_wire(message, mechanism);
                let _ = ServerFinal::from_wire(message, mechanism);
            }
            prop_assert!(seal.open(message).is_err());
        }
        let _ = text.parse::<Verifier>();
        let _ = format!("SCRAM-SHA-256${text}").parse::<Verifier>();
    }

    /// An accepted message has its nonce and its user in the places that the grammar gives them.
    #[test]
    fn accepted_messages_are_of_the_grammar(message in "[nyp],(a=[a-z=]{0,3})?,n=[a-z=23CD]{0,6},r=[!-~]{0,6}(,[a-z]=[a-z]{0,2})?") {
        let terms = Terms::new(Mechanism::ScramSha256.into(), None)?;
        if let Ok(request) = Request::from_wire(message.as_bytes(), &terms, None) {
            let first = ClientFirst::from_wire(message.as_bytes()).expect("read before");
            let whole = format!("{}{}", first.gs2_header, first.bare);
            prop_assert_eq!(&whole, &message);
            prop_assert_eq!(request.username(), first.username);
            prop_assert!(!first.nonce.contains(','));
        }
    }
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    prop::sample::select(Mechanism::ALL.as_slice())
}

fn count(iterations: u32) -> NonZeroU32 {
    NonZeroU32::new(iterations).expect("a count")
}
