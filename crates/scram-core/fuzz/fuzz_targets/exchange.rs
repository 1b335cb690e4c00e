//! No exchange but the recorded one is accepted, and no input makes the code panic.
//!
//! Input: client-first, a line feed, client-final, a line feed, a state to open.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scram_core::explain::explain;
use scram_core::keys::Key;
use scram_core::server::{Credential, Outcome, Request, Terms};
use scram_core::state::{Seal, State};
use scram_core::transcript::Transcript;
use scram_core::{Mechanism, Verifier};

// RFC 7677 section 3.
const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == b'\n');
    let [first, last, sealed] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let verifier: Verifier = VERIFIER.parse().expect("a verifier");
    let seal = Seal::new(Key::new(Mechanism::ScramSha256, &[7; 32]).expect("a key"));
    assert!(seal.open(sealed).is_err(), "a state that was never sealed");

    let terms = Terms::new(Mechanism::ScramSha256.into(), None).expect("terms");
    let Ok(request) = Request::from_wire(first, &terms, Some("user")) else { return };
    let challenge = request.challenge(verifier.parameters(), SERVER_NONCE);
    let server_first = challenge.server_first().to_owned();
    let digest = seal.digest(VERIFIER);
    let state = State { issued_at: 0, challenge, digests: [digest.clone(), digest] };
    let sealed = seal.seal(&state).expect("a state");
    let challenge = seal.open(&sealed).expect("the state").challenge;
    assert_eq!(challenge, state.challenge);

    let transcript = Transcript {
        client_first: first,
        server_first: server_first.as_bytes(),
        client_final: last,
        server_final: None,
        binding_data: None,
    };
    let checks = transcript.check(&verifier);
    let outcome = challenge.finish(last, &[Credential::new(&verifier, true)]);
    let accepted = matches!(outcome, Outcome::Accepted { .. });
    assert_eq!(accepted, checks.iter().all(|check| check.ok == Some(true)));
    assert!(!accepted || (last == FINAL && first.ends_with(&FIRST[3..])));
    let _ = explain(&String::from_utf8_lossy(last));
});
