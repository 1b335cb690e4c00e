//! The parts of a client-first that parses are those of the message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scram_core::message::{ClientFirst, MAX_MESSAGE_LEN, MAX_NONCE_LEN};

fuzz_target!(|message: &[u8]| {
    let Ok(first) = ClientFirst::from_wire(message) else { return };
    assert!(message.len() <= MAX_MESSAGE_LEN);
    assert_eq!([first.gs2_header, first.bare].concat().as_bytes(), message);
    assert!((1..=MAX_NONCE_LEN).contains(&first.nonce.len()));
    assert!(first.bare.contains(&format!(",r={}", first.nonce)));
    assert!(!message.contains(&0));
    assert!(!first.bare.split(',').any(|attribute| attribute.starts_with("m=")));
});
