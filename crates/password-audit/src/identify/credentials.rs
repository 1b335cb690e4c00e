//! SCRAM credentials in the forms of Kafka, MongoDB and Dovecot.

use std::borrow::Cow;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Kind;
use scram_core::keys::Key;
use scram_core::mechanism::Mechanism;
use scram_core::verifier::{MAX_SALT_LEN, Parameters, Verifier, posit_number};

/// The fewest iterations that Kafka, MongoDB and Dovecot accept in a stored credential.
const MIN_ITERATIONS: u32 = 4096;

/// The most iterations that Kafka accepts (`ScramMechanism.java`).
const KAFKA_MAX_ITERATIONS: u32 = 16384;

pub(super) fn identify(secret: &str) -> Option<Kind> {
    if dovecot(secret).is_some() {
        Some(Kind::Dovecot)
    } else if kafka(secret).is_some() {
        Some(Kind::Kafka)
    } else if mongodb(secret).is_some() {
        Some(Kind::Mongodb)
    } else {
        None
    }
}

/// `{SCRAM-SHA-1}` or `{SCRAM-SHA-256}` and `iterations,salt,StoredKey,ServerKey`.
///
/// Exactly four fields. GNU SASL appends a fifth one, the salted password, which is enough to log
/// in.
///
/// Source: `scram_scheme_parse` in Dovecot's `src/auth/password-scheme-scram.c`.
pub(super) fn dovecot(secret: &str) -> Option<Verifier> {
    let (scheme, fields) = secret.strip_prefix('{')?.split_once('}')?;
    let mechanism = match scheme {
        "SCRAM-SHA-1" => Mechanism::ScramSha1,
        "SCRAM-SHA-256" => Mechanism::ScramSha256,
        _ => return None,
    };
    let fields = fields.splitn(5, ',').collect::<Vec<_>>();
    let [iterations, salt, stored_key, server_key] = fields[..] else { return None };
    let iterations = posit_number(iterations).filter(|count| count.get() >= MIN_ITERATIONS)?;
    verifier(mechanism, iterations, salt, stored_key, server_key)
}

/// `salt=…,stored_key=…,server_key=…,iterations=…` in any order. The length of the keys
/// distinguishes SHA-256 from SHA-512.
///
/// Source: `ScramCredentialUtils.credentialFromString` in Kafka.
pub(super) fn kafka(secret: &str) -> Option<Verifier> {
    let mut salt = None;
    let mut stored_key = None;
    let mut server_key = None;
    let mut iterations = None;
    for property in secret.splitn(5, ',') {
        let (name, value) = property.split_once('=')?;
        let slot = match name {
            "iterations" => &mut iterations,
            "salt" => &mut salt,
            "server_key" => &mut server_key,
            "stored_key" => &mut stored_key,
            _ => return None,
        };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    let iterations = posit_number(iterations?)
        .filter(|count| (MIN_ITERATIONS..=KAFKA_MAX_ITERATIONS).contains(&count.get()))?;
    let (salt, stored_key, server_key) = (salt?, stored_key?, server_key?);
    [Mechanism::ScramSha256, Mechanism::ScramSha512]
        .into_iter()
        .find_map(|mechanism| verifier(mechanism, iterations, salt, stored_key, server_key))
}

/// The `credentials` of a document of `admin.system.users`, or the whole document.
///
/// Every SCRAM member that is there must be whole.
///
/// Source: MongoDB's `src/mongo/crypto/mechanism_scram.h`.
pub(super) fn mongodb(secret: &str) -> Option<Verifier> {
    // Spares JSON's reader each password that begins otherwise.
    if !secret.trim_start().starts_with('{') {
        return None;
    }
    let document = serde_json::from_str::<MongodbUser<'_>>(secret).ok()?;
    let MongodbUser { credentials, scram_sha_1, scram_sha_256 } = document;
    let credentials = credentials.unwrap_or(MongodbCredentials { scram_sha_1, scram_sha_256 });
    let sha_1 = credentials.scram_sha_1.map(|member| member.verifier(Mechanism::ScramSha1));
    let sha_256 = credentials.scram_sha_256.map(|member| member.verifier(Mechanism::ScramSha256));
    match (sha_1, sha_256) {
        (Some(None), _) | (_, Some(None)) => None,
        (sha_1, sha_256) => sha_256.or(sha_1)?,
    }
}

/// A document of `admin.system.users`, or its member `credentials` alone; others are skipped.
#[derive(Deserialize)]
struct MongodbUser<'a> {
    #[serde(borrow)]
    credentials: Option<MongodbCredentials<'a>>,
    #[serde(borrow, rename = "SCRAM-SHA-1")]
    scram_sha_1: Option<MongodbCredential<'a>>,
    #[serde(borrow, rename = "SCRAM-SHA-256")]
    scram_sha_256: Option<MongodbCredential<'a>>,
}

/// Its member `credentials`.
#[derive(Deserialize)]
struct MongodbCredentials<'a> {
    #[serde(borrow, rename = "SCRAM-SHA-1")]
    scram_sha_1: Option<MongodbCredential<'a>>,
    #[serde(borrow, rename = "SCRAM-SHA-256")]
    scram_sha_256: Option<MongodbCredential<'a>>,
}

/// Borrows from the text, so that only escaped values are copied.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MongodbCredential<'a> {
    iteration_count: u32,
    #[serde(borrow)]
    salt: Cow<'a, str>,
    #[serde(borrow)]
    server_key: Cow<'a, str>,
    #[serde(borrow)]
    stored_key: Cow<'a, str>,
}

impl MongodbCredential<'_> {
    /// MongoDB insists on a salt of the hash's length less four bytes (`SCRAMSecrets::saltLength`).
    fn verifier(&self, mechanism: Mechanism) -> Option<Verifier> {
        let iterations = NonZeroU32::new(self.iteration_count)?;
        let verifier =
            verifier(mechanism, iterations, &self.salt, &self.stored_key, &self.server_key)?;
        (iterations.get() >= MIN_ITERATIONS && verifier.salt().len() == mechanism.key_len() - 4)
            .then_some(verifier)
    }
}

/// A verifier from fields in canonical Base64. `None` if one of them is not, if the salt is empty,
/// or if a key has another length than the mechanism's keys.
fn verifier(
    mechanism: Mechanism,
    iterations: NonZeroU32,
    salt: &str,
    stored_key: &str,
    server_key: &str,
) -> Option<Verifier> {
    let parameters = Parameters::new(mechanism, iterations, decoded(salt)?.to_vec()).ok()?;
    let key = |text| Key::new(mechanism, &decoded(text)?);
    Some(Verifier::from_keys(parameters, key(stored_key)?, key(server_key)?))
}

/// Bytes of canonical Base64, at most as many as a salt or a key can have.
fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > MAX_SALT_LEN.div_ceil(3) * 4 {
        return None;
    }
    STANDARD.decode(text).ok().map(Zeroizing::new)
}
