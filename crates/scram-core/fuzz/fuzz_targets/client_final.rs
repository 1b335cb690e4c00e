//! A client-final that parses is written as the same bytes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scram_core::Mechanism;
use scram_core::message::ClientFinal;

fuzz_target!(|message: &[u8]| {
    for mechanism in Mechanism::ALL {
        let Ok(last) = ClientFinal::from_wire(message, mechanism) else { continue };
        assert_eq!(last.proof.as_bytes().len(), mechanism.key_len());
        let start = ClientFinal::write_without_proof(&last.cbind_input, last.nonce);
        assert!(last.without_proof.starts_with(&start), "canonical Base64 only");
        assert_eq!(ClientFinal::write(last.without_proof, &last.proof).as_bytes(), message);
    }
});
