//! A server-final that parses begins with the bytes that it is written as; extensions may follow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scram_core::Mechanism;
use scram_core::message::{ErrorValue, ServerFinal};

fuzz_target!(|message: &[u8]| {
    for mechanism in Mechanism::ALL {
        let Ok(last) = ServerFinal::from_wire(message, mechanism) else { continue };
        let written = last.write();
        match last {
            // An unknown value is read as other-error.
            ServerFinal::Error(ErrorValue::OtherError) => assert!(message.starts_with(b"e=")),
            _ => assert!(message.starts_with(written.as_bytes())),
        }
    }
});
