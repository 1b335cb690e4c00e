//! Prosody: the members `iteration_count`, `salt`, `stored_key` and `server_key` of an account, as
//! the Lua of its files `accounts/….dat` or as JSON.
//!
//! The salt is text, whose bytes are hashed; the keys are hexadecimal.
//!
//! Source: Prosody's `plugins/mod_auth_internal_hashed.lua` and `util/serialization.lua`.

mod lua;

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::document::Number;
use super::encoding::{Fields, hex, to_hex, to_json};
use super::{ExportError, Format, Parts, Verifier};
use crate::verifier::posit_number;

/// A file. The length of the keys distinguishes the mechanisms.
pub(super) fn read(text: &str) -> Option<Parts> {
    if !text.contains("iteration_count") {
        return None;
    }
    let table = lua::table(text)?;
    let member =
        |name: &str| table.iter().find(|(key, _)| **key == *name).map(|(_, value)| value.as_str());
    let count = posit_number(member("iteration_count")?);
    Some(parts(count, member("salt"), member("stored_key"), member("server_key")))
}

/// The same members as JSON; others are skipped.
pub(super) fn read_json(text: &str) -> Option<Parts> {
    let account = serde_json::from_str::<Account<'_>>(text).ok()?;
    let Account { iteration_count, salt, server_key, stored_key } = &account;
    Some(parts(
        iteration_count.value(),
        salt.as_deref(),
        stored_key.as_deref(),
        server_key.as_deref(),
    ))
}

fn parts(
    iterations: Option<NonZeroU32>,
    salt: Option<&str>,
    stored_key: Option<&str>,
    server_key: Option<&str>,
) -> Parts {
    let fields = Fields {
        iterations,
        salt: salt.map(|text| Zeroizing::new(text.as_bytes().to_vec())),
        stored_key: stored_key.and_then(hex),
        server_key: server_key.and_then(hex),
    };
    let (mechanisms, _) = Format::Prosody.limits();
    fields.verifier_by_length(mechanisms).map(|verifier| vec![verifier])
}

#[derive(Deserialize)]
struct Account<'a> {
    #[serde(borrow)]
    iteration_count: Number<'a>,
    #[serde(borrow)]
    salt: Option<Cow<'a, str>>,
    #[serde(borrow)]
    server_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stored_key: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Written<'a> {
    iteration_count: u32,
    salt: &'a str,
    stored_key: String,
    server_key: String,
}

/// JSON with the members of the file.
pub(super) fn write(verifier: &Verifier) -> Result<String, ExportError> {
    let format = Format::Prosody;
    let is_printable = verifier.salt().iter().all(|byte| matches!(byte, b' '..=b'~'));
    let salt = str::from_utf8(verifier.salt()).ok().filter(|_| is_printable);
    let written = Written {
        iteration_count: verifier.iterations().get(),
        salt: salt.ok_or(ExportError::SaltText { format })?,
        stored_key: to_hex(verifier.stored_key().as_bytes()),
        server_key: to_hex(verifier.server_key().as_bytes()),
    };
    Ok(to_json(&written))
}
