//! Kafka: `salt=…,stored_key=…,server_key=…,iterations=…`.
//!
//! Source: `ScramCredentialUtils.credentialFromString` in Kafka.

use super::encoding::{Fields, base64, to_base64};
use super::{Format, Part, Parts, Verifier};
use crate::verifier::posit_number;

/// Four properties in any order. The length of the keys distinguishes SHA-256 from SHA-512.
pub(super) fn read(text: &str) -> Option<Parts> {
    let mut salt = None;
    let mut stored_key = None;
    let mut server_key = None;
    let mut iterations = None;
    let mut is_twice = false;
    for property in text.splitn(5, ',') {
        let (name, value) = property.split_once('=')?;
        let slot = match name {
            "iterations" => &mut iterations,
            "salt" => &mut salt,
            "server_key" => &mut server_key,
            "stored_key" => &mut stored_key,
            _ => return None,
        };
        is_twice |= slot.replace(value).is_some();
    }
    if is_twice {
        return Some(Err(Part::Fields));
    }
    let fields = Fields {
        iterations: iterations.and_then(posit_number),
        salt: salt.and_then(base64),
        stored_key: stored_key.and_then(base64),
        server_key: server_key.and_then(base64),
    };
    let (mechanisms, _) = Format::Kafka.limits();
    Some(fields.verifier_by_length(mechanisms).map(|verifier| vec![verifier]))
}

pub(super) fn write(verifier: &Verifier) -> String {
    format!(
        "salt={},stored_key={},server_key={},iterations={}",
        to_base64(verifier.salt()),
        to_base64(verifier.stored_key().as_bytes()),
        to_base64(verifier.server_key().as_bytes()),
        verifier.iterations()
    )
}
