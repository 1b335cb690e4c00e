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

/// The fewest iterations that Dovecot accepts in a stored credential. A check judges those of Kafka and
/// MongoDB, which other programs write too.
const DOVECOT_MIN_ITERATIONS: u32 = 4096;

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
/// Exactly four fields, which `.B64` and `.HEX` encode together. GNU SASL appends a fifth one, the salted
/// password, which is enough to log in.
///
/// Source: `scram_scheme_parse` in Dovecot's `src/auth/password-scheme-scram.c`.
pub(super) fn dovecot(secret: &str) -> Option<Verifier> {
    let (scheme, fields) = secret.strip_prefix('{')?.split_once('}')?;
    let (scheme, encoding) = scheme.split_once('.').unwrap_or((scheme, ""));
    let fields = match &*encoding.to_ascii_uppercase() {
        "" => Zeroizing::new(fields.to_owned()),
        "B64" | "BASE64" if fields.len() < 4096 => {
            Zeroizing::new(String::from_utf8(STANDARD.decode(fields).ok()?).ok()?)
        }
        "HEX" if fields.len() < 4096 => Zeroizing::new(from_hex(fields)?),
        _ => return None,
    };
    let mechanism = match scheme {
        "SCRAM-SHA-1" => Mechanism::ScramSha1,
        "SCRAM-SHA-256" => Mechanism::ScramSha256,
        _ => return None,
    };
    let fields = fields.splitn(5, ',').collect::<Vec<_>>();
    let [iterations, salt, stored_key, server_key] = fields[..] else { return None };
    let iterations =
        posit_number(iterations).filter(|count| count.get() >= DOVECOT_MIN_ITERATIONS)?;
    verifier(mechanism, iterations, salt, stored_key, server_key)
}

fn from_hex(digits: &str) -> Option<String> {
    let digits = digits.bytes().map(|digit| char::from(digit).to_digit(16));
    let digits = digits.collect::<Option<Vec<_>>>()?;
    let bytes = digits.chunks(2).map(|pair| match *pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
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
    let iterations = posit_number(iterations?)?;
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
    #[serde(borrow)]
    iteration_count: MongodbNumber<'a>,
    #[serde(borrow)]
    salt: Cow<'a, str>,
    #[serde(borrow)]
    server_key: Cow<'a, str>,
    #[serde(borrow)]
    stored_key: Cow<'a, str>,
}

/// A number in relaxed or in canonical Extended JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum MongodbNumber<'a> {
    Canonical {
        #[serde(borrow, rename = "$numberInt", alias = "$numberLong")]
        digits: Cow<'a, str>,
    },
    Relaxed(u32),
}

impl MongodbNumber<'_> {
    fn value(&self) -> Option<NonZeroU32> {
        match self {
            Self::Canonical { digits } => posit_number(digits),
            Self::Relaxed(number) => NonZeroU32::new(*number),
        }
    }
}

impl MongodbCredential<'_> {
    /// MongoDB insists on a salt of the hash's length less four bytes (`SCRAMSecrets::saltLength`).
    fn verifier(&self, mechanism: Mechanism) -> Option<Verifier> {
        let iterations = self.iteration_count.value()?;
        let verifier =
            verifier(mechanism, iterations, &self.salt, &self.stored_key, &self.server_key)?;
        (verifier.salt().len() == mechanism.key_len() - 4).then_some(verifier)
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
