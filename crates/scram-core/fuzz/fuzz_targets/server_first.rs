//! The parts of a server-first that parses are those of the message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scram_core::message::ServerFirst;

fuzz_target!(|message: &[u8]| {
    let Ok(server) = ServerFirst::from_wire(message) else { return };
    let text = str::from_utf8(message).expect("read as UTF-8");
    assert!(text.starts_with(&format!("r={},s=", server.nonce)));
    assert!(text.contains(&format!(",i={}", server.iterations)));
    assert!(!server.salt.is_empty());
});
