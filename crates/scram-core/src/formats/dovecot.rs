//! Dovecot: `{SCRAM-SHA-1}` or `{SCRAM-SHA-256}` and `iterations,salt,StoredKey,ServerKey`.
//!
//! Source: `scram_scheme_parse` in Dovecot's `src/auth/password-scheme-scram.c`, and
//! `password_decode` in `password-scheme.c`.

use zeroize::Zeroizing;

use super::encoding::{Fields, base64, hex, to_base64};
use super::{Format, Part, Parts, Verifier};
use crate::Mechanism;

/// Exactly four fields, which `.B64` and `.HEX` encode together. Names of schemes have no case.
///
/// GNU SASL appends a fifth field, the salted password, which is enough to log in: it is not read.
pub(super) fn read(text: &str) -> Option<Parts> {
    let (scheme, fields) = text.strip_prefix('{')?.split_once('}')?;
    let (scheme, encoding) = scheme.split_once('.').unwrap_or((scheme, ""));
    let mechanism = match &*scheme.to_ascii_uppercase() {
        "SCRAM-SHA-1" => Mechanism::ScramSha1,
        "SCRAM-SHA-256" => Mechanism::ScramSha256,
        _ => return None,
    };
    let bytes = match &*encoding.to_ascii_uppercase() {
        "" if fields.contains(',') => Zeroizing::new(fields.as_bytes().to_vec()),
        // RFC 5803's value has no comma.
        "" => return None,
        "B64" | "BASE64" => base64(fields)?,
        "HEX" if fields.len() < 4096 => hex(fields)?,
        _ => return None,
    };
    let fields = str::from_utf8(&bytes).ok()?.splitn(5, ',').collect::<Vec<_>>();
    let [iterations, salt, stored_key, server_key] = fields[..] else {
        return Some(Err(Part::Fields));
    };
    let mut fields = Fields::base64(iterations, salt, stored_key, server_key);
    let (_, accepted) = Format::Dovecot.limits();
    fields.iterations = fields.iterations.filter(|count| accepted.contains(&count.get()));
    Some(fields.verifier(mechanism).map(|verifier| vec![verifier]))
}

pub(super) fn write(verifier: &Verifier) -> String {
    format!(
        "{{{}}}{},{},{},{}",
        verifier.mechanism(),
        verifier.iterations(),
        to_base64(verifier.salt()),
        to_base64(verifier.stored_key().as_bytes()),
        to_base64(verifier.server_key().as_bytes())
    )
}
