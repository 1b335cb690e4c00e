//! SCRAM credentials in the forms of Kafka, MongoDB and Dovecot.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Kind;
use crate::mechanism::Mechanism;
use crate::verifier::posit_number;

/// The fewest iterations that Kafka, MongoDB and Dovecot accept in a stored credential.
const MIN_ITERATIONS: u32 = 4096;

/// The most iterations that Kafka accepts (`ScramMechanism.java`).
const KAFKA_MAX_ITERATIONS: u32 = 16384;

pub(super) fn identify(secret: &str) -> Option<Kind> {
    if is_dovecot(secret) {
        Some(Kind::Dovecot)
    } else if is_kafka(secret) {
        Some(Kind::Kafka)
    } else if is_mongodb(secret) {
        Some(Kind::Mongodb)
    } else {
        None
    }
}

/// `{SCRAM-SHA-1}` or `{SCRAM-SHA-256}` and `iterations,salt,StoredKey,ServerKey`.
///
/// Exactly four fields: GNU SASL appends a fifth, the salted password, with which anybody logs in.
///
/// Source: `scram_scheme_parse` in Dovecot's `src/auth/password-scheme-scram.c`.
fn is_dovecot(secret: &str) -> bool {
    let Some((scheme, fields)) = secret.strip_prefix('{').and_then(|rest| rest.split_once('}'))
    else {
        return false;
    };
    let mechanism = match scheme {
        "SCRAM-SHA-1" => Mechanism::ScramSha1,
        "SCRAM-SHA-256" => Mechanism::ScramSha256,
        _ => return false,
    };
    let fields = fields.splitn(5, ',').collect::<Vec<_>>();
    let [iterations, salt, stored_key, server_key] = fields[..] else { return false };
    posit_number(iterations).is_some_and(|count| count.get() >= MIN_ITERATIONS)
        && decoded_len(salt).is_some_and(|len| len > 0)
        && [stored_key, server_key].map(decoded_len) == [Some(mechanism.key_len()); 2]
}

/// `salt=…,stored_key=…,server_key=…,iterations=…` in any order; the keys' length tells SHA-256 from
/// SHA-512.
///
/// Source: `ScramCredentialUtils.credentialFromString` in Kafka.
fn is_kafka(secret: &str) -> bool {
    let mut salt = None;
    let mut stored_key = None;
    let mut server_key = None;
    let mut iterations = None;
    for property in secret.splitn(5, ',') {
        let Some((name, value)) = property.split_once('=') else { return false };
        let slot = match name {
            "iterations" => &mut iterations,
            "salt" => &mut salt,
            "server_key" => &mut server_key,
            "stored_key" => &mut stored_key,
            _ => return false,
        };
        if slot.replace(value).is_some() {
            return false;
        }
    }
    let (Some(salt), Some(stored_key), Some(server_key), Some(iterations)) =
        (salt, stored_key, server_key, iterations)
    else {
        return false;
    };
    let keys = [stored_key, server_key].map(decoded_len);
    posit_number(iterations)
        .is_some_and(|count| (MIN_ITERATIONS..=KAFKA_MAX_ITERATIONS).contains(&count.get()))
        && decoded_len(salt).is_some_and(|len| len > 0)
        && [Mechanism::ScramSha256, Mechanism::ScramSha512]
            .iter()
            .any(|mechanism| keys == [Some(mechanism.key_len()); 2])
}

/// The `credentials` of a document of `admin.system.users`, or the whole document.
///
/// Every SCRAM member that is there must be whole.
///
/// Source: MongoDB's `src/mongo/crypto/mechanism_scram.h`.
fn is_mongodb(secret: &str) -> bool {
    // Spares JSON's reader each password that begins otherwise.
    if !secret.trim_start().starts_with('{') {
        return false;
    }
    let Ok(document) = serde_json::from_str::<MongodbUser<'_>>(secret) else { return false };
    let MongodbUser { credentials, scram_sha_1, scram_sha_256 } = document;
    let credentials = credentials.unwrap_or(MongodbCredentials { scram_sha_1, scram_sha_256 });
    let members = [
        (Mechanism::ScramSha1, credentials.scram_sha_1),
        (Mechanism::ScramSha256, credentials.scram_sha_256),
    ];
    let mut found = members.into_iter().filter_map(|(m, member)| Some((m, member?))).peekable();
    found.peek().is_some() && found.all(|(mechanism, member)| member.is_whole(mechanism))
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

/// Borrowed from the text: nothing of the credential is copied, unless it is escaped.
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
    fn is_whole(&self, mechanism: Mechanism) -> bool {
        self.iteration_count >= MIN_ITERATIONS
            && decoded_len(&self.salt) == Some(mechanism.key_len() - 4)
            && [&self.stored_key, &self.server_key].map(|key| decoded_len(key))
                == [Some(mechanism.key_len()); 2]
    }
}

/// The length in bytes of canonical Base64, at most what a salt or a key can have.
fn decoded_len(text: &str) -> Option<usize> {
    const LONGEST: usize = 1024;
    if text.len() > LONGEST.div_ceil(3) * 4 {
        return None;
    }
    let mut buffer = Zeroizing::new([0; LONGEST + 2]);
    STANDARD.decode_slice(text, &mut *buffer).ok()
}
