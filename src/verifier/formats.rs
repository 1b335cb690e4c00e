//! Verifiers from and for other systems.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::formats::{self, Format, ImportError, ReadError};
use scram_core::{Mechanism, Verifier};

use crate::error::Error;
use crate::limits::MAX_SECRET_LEN;
use crate::pg::text::ServerText;
use crate::pg::verifier_text;

/// `scram.import_verifier(secret text, mechanism text DEFAULT NULL) returns text`
///
/// A verifier from a stored text of PostgreSQL, LDAP, Kafka, MongoDB, Dovecot, Prosody or ejabberd.
/// `mechanism` chooses where a text has several; NULL means the strongest.
///
/// Raises 22P02 for a text in none of these forms, and 22023 for an unknown mechanism.
#[pg_extern(schema = "scram", immutable, parallel_safe)]
fn import_verifier(
    secret: Option<ServerText>,
    mechanism: default!(Option<ServerText>, "NULL"),
) -> Result<Option<String>, ErrorReport> {
    let Some(secret) = secret else { return Ok(None) };
    let mechanism = mechanism.map(|name| name.as_ascii().parse::<Mechanism>());
    let mechanism = mechanism.transpose().map_err(Error::from)?;
    Ok(Some(import(&secret, mechanism)?.to_string()))
}

fn import(secret: &ServerText, mechanism: Option<Mechanism>) -> Result<Verifier, Error> {
    let utf8 = secret.to_wire();
    let text = str::from_utf8(&utf8).ok().filter(|text| text.len() <= MAX_SECRET_LEN);
    let text = text.ok_or(ImportError::Read(ReadError::Unknown))?;
    Ok(formats::import(text, mechanism)?)
}

/// `scram.export_verifier(verifier text, format text) returns text`
///
/// The text that a system stores in place of the password.
///
/// Raises 22P02 for a malformed verifier, and 22023 for an unknown format or for what the system
/// cannot hold.
#[pg_extern(schema = "scram", immutable, parallel_safe)]
fn export_verifier(verifier: ServerText, format: ServerText) -> Result<String, ErrorReport> {
    let verifier = verifier_text::parse(&verifier)?;
    let format = format.as_ascii().parse::<Format>().map_err(Error::from)?;
    Ok(formats::export(&verifier, format).map_err(Error::from)?)
}
