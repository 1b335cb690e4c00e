//! MongoDB: the `credentials` of a document of `admin.system.users`, or the whole document.
//!
//! Source: MongoDB's `src/mongo/crypto/mechanism_scram.h`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::document::Number;
use super::encoding::{Fields, base64, to_base64, to_json};
use super::{ExportError, Format, Part, Parts, Verifier};
use crate::Mechanism;

/// Relaxed or canonical Extended JSON. Every SCRAM member that is there must be whole.
pub(super) fn read(text: &str) -> Option<Parts> {
    let User { credentials, scram_sha_1, scram_sha_256 } = serde_json::from_str(text).ok()?;
    let credentials = credentials.unwrap_or(Credentials { scram_sha_1, scram_sha_256 });
    let sha_1 = credentials.scram_sha_1.map(|member| member.verifier(Mechanism::ScramSha1));
    let sha_256 = credentials.scram_sha_256.map(|member| member.verifier(Mechanism::ScramSha256));
    Some(sha_1.into_iter().chain(sha_256).collect())
}

/// The user's name, if the text is a whole document.
pub(super) fn user(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        user: String,
    }
    serde_json::from_str::<Named>(text).ok().map(|named| named.user)
}

/// MongoDB insists on a salt of the hash's length less four bytes (`SCRAMSecrets::saltLength`).
fn salt_len(mechanism: Mechanism) -> usize {
    mechanism.key_len() - 4
}

/// A document of `admin.system.users`, or its member `credentials` alone; others are skipped.
#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    credentials: Option<Credentials<'a>>,
    #[serde(borrow, rename = "SCRAM-SHA-1")]
    scram_sha_1: Option<Credential<'a>>,
    #[serde(borrow, rename = "SCRAM-SHA-256")]
    scram_sha_256: Option<Credential<'a>>,
}

/// Its member `credentials`.
#[derive(Deserialize)]
struct Credentials<'a> {
    #[serde(borrow, rename = "SCRAM-SHA-1")]
    scram_sha_1: Option<Credential<'a>>,
    #[serde(borrow, rename = "SCRAM-SHA-256")]
    scram_sha_256: Option<Credential<'a>>,
}

/// Borrows from the text, so that only escaped values are copied.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential<'a> {
    #[serde(borrow)]
    iteration_count: Number<'a>,
    #[serde(borrow)]
    salt: Cow<'a, str>,
    #[serde(borrow)]
    server_key: Cow<'a, str>,
    #[serde(borrow)]
    stored_key: Cow<'a, str>,
}

impl Credential<'_> {
    fn verifier(&self, mechanism: Mechanism) -> Result<Verifier, Part> {
        let fields = Fields {
            iterations: self.iteration_count.value(),
            salt: base64(&self.salt).filter(|salt| salt.len() == salt_len(mechanism)),
            stored_key: base64(&self.stored_key),
            server_key: base64(&self.server_key),
        };
        fields.verifier(mechanism)
    }
}

/// Members in the order that MongoDB writes them in.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    iteration_count: u32,
    salt: String,
    stored_key: String,
    server_key: String,
}

/// An object whose one member is the mechanism, in relaxed Extended JSON.
pub(super) fn write(verifier: &Verifier) -> Result<String, ExportError> {
    let len = salt_len(verifier.mechanism());
    if verifier.salt().len() != len {
        return Err(ExportError::SaltLength { format: Format::Mongodb, len });
    }
    let written = Written {
        iteration_count: verifier.iterations().get(),
        salt: to_base64(verifier.salt()),
        stored_key: to_base64(verifier.stored_key().as_bytes()),
        server_key: to_base64(verifier.server_key().as_bytes()),
    };
    Ok(format!("{{\"{}\":{}}}", verifier.mechanism(), to_json(&written)))
}
