//! ejabberd: the columns of its table `users` as JSON, the record in its Mnesia table, and the
//! attribute `password` or the element `scram-credentials` of its XML exports.
//!
//! Source: ejabberd's `ejabberd_auth_sql.erl` and `ejabberd_piefxis.erl`, and `-record(scram, …)` in
//! `scram.hrl` of its library `xmpp`.

mod element;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::document::Number;
use super::encoding::{Bytes, Fields, base64, to_base64, to_json};
use super::{Part, Parts, Verifier};
use crate::Mechanism;
use crate::verifier::posit_number;

/// The longest record or exported attribute, in bytes.
const MAX_LEN: usize = 16 * 1024;

/// `scram:…`, `<scram-credentials>`, or the record as `{scram,…}`, `#scram{…}` or inside of `{passwd,…}`.
pub(super) fn read(text: &str) -> Option<Parts> {
    if let Some(fields) = text.strip_prefix("scram:") {
        return Some(read_exported(fields));
    }
    if text.trim_start().starts_with('<') && text.contains("<scram-credentials") {
        return (text.len() <= MAX_LEN).then(|| element::read(text));
    }
    let is_record = ["{scram", "{passwd", "#scram", "#passwd"]
        .iter()
        .any(|start| text.trim_start().starts_with(start));
    if !is_record || text.len() > MAX_LEN {
        return None;
    }
    let compact = Zeroizing::new(text.split_whitespace().collect::<String>());
    if let Some((_, record)) = compact.split_once("{scram,") {
        return Some(read_tuple(record.split_once('}')?.0));
    }
    let (_, record) = compact.split_once("#scram{")?;
    Some(read_record(record.split_once('}')?.0))
}

/// `StoredKey,ServerKey,salt,iterations`, with a hash function in front that is not SHA-1.
///
/// Exports encode the record's fields once more, although they are in Base64 already; other versions
/// do not.
fn read_exported(fields: &str) -> Parts {
    let fields = fields.splitn(6, ',').collect::<Vec<_>>();
    let (hash, [stored_key, server_key, salt, count]) = match fields[..] {
        [a, b, c, d] => ("sha", [a, b, c, d]),
        [hash, a, b, c, d] => (hash, [a, b, c, d]),
        _ => return Err(Part::Fields),
    };
    encoded(mechanism(hash)?, [stored_key, server_key, salt], count).map(|verifier| vec![verifier])
}

/// Fields in Base64, or in Base64 twice.
fn encoded(mechanism: Mechanism, fields: [&str; 3], count: &str) -> Result<Verifier, Part> {
    let once = fields.map(base64);
    let is_once =
        once[0].as_ref().is_some_and(|stored_key| stored_key.len() == mechanism.key_len());
    let twice = |bytes: Option<Bytes>| base64(str::from_utf8(&bytes?).ok()?);
    let [stored_key, server_key, salt] = if is_once { once } else { once.map(twice) };
    Fields { iterations: posit_number(count), salt, stored_key, server_key }.verifier(mechanism)
}

/// `<<"StoredKey">>,<<"ServerKey">>,<<"salt">>,hash,iterations`; old records have no hash.
fn read_tuple(fields: &str) -> Parts {
    let fields = fields.splitn(6, ',').collect::<Vec<_>>();
    match fields[..] {
        [stored_key, server_key, salt, count] => {
            binaries("sha", [stored_key, server_key, salt], count)
        }
        [stored_key, server_key, salt, hash, count] => {
            binaries(hash, [stored_key, server_key, salt], count)
        }
        _ => Err(Part::Fields),
    }
}

/// `storedkey=<<"…">>,serverkey=…,salt=…,hash=…,iterationcount=…` in any order.
fn read_record(fields: &str) -> Parts {
    let field = |wanted: &str| {
        let mut fields = fields.split(',').filter_map(|field| field.split_once('='));
        fields.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let bytes = ["storedkey", "serverkey", "salt"].map(|name| field(name).unwrap_or_default());
    binaries(field("hash").unwrap_or("sha"), bytes, field("iterationcount").unwrap_or_default())
}

/// Erlang's binaries of StoredKey, ServerKey and salt.
fn binaries(hash: &str, fields: [&str; 3], count: &str) -> Parts {
    let text = |field: &str| {
        let inside = field.strip_prefix("<<\"").and_then(|field| field.strip_suffix("\">>"));
        inside.unwrap_or_default().to_owned()
    };
    let [stored_key, server_key, salt] = fields.map(|field| Zeroizing::new(text(field)));
    let fields = Fields::base64(count, &salt, &stored_key, &server_key);
    fields.verifier(mechanism(hash)?).map(|verifier| vec![verifier])
}

/// A row of the table `users`; other columns are skipped. In the table `password` has the hash
/// function in front of StoredKey, if that is not SHA-1.
pub(super) fn read_json(text: &str) -> Option<Parts> {
    let row = serde_json::from_str::<Row<'_>>(text).ok()?;
    let Row { hash, iterationcount, password, salt, serverkey } = &row;
    let (prefix, stored_key) = password.split_once(':').unwrap_or(("", password));
    let hash = match (hash.as_deref(), prefix) {
        (None, "") => "sha",
        (Some(hash), "") => hash,
        (None, prefix) => prefix,
        (Some(hash), prefix) if hash == prefix => hash,
        _ => return Some(Err(Part::Mechanism)),
    };
    let fields = Fields {
        iterations: iterationcount.value(),
        salt: base64(salt),
        stored_key: base64(stored_key),
        server_key: base64(serverkey),
    };
    Some(mechanism(hash).and_then(|m| fields.verifier(m)).map(|verifier| vec![verifier]))
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    hash: Option<Cow<'a, str>>,
    #[serde(borrow)]
    iterationcount: Number<'a>,
    #[serde(borrow)]
    password: Cow<'a, str>,
    #[serde(borrow)]
    salt: Cow<'a, str>,
    #[serde(borrow)]
    serverkey: Cow<'a, str>,
}

#[derive(Serialize)]
struct Written {
    password: String,
    serverkey: String,
    salt: String,
    iterationcount: u32,
    hash: &'static str,
}

/// JSON with the columns of the table, StoredKey without the hash function, and the hash function.
pub(super) fn write(verifier: &Verifier) -> String {
    let written = Written {
        password: to_base64(verifier.stored_key().as_bytes()),
        serverkey: to_base64(verifier.server_key().as_bytes()),
        salt: to_base64(verifier.salt()),
        iterationcount: verifier.iterations().get(),
        hash: hash(verifier.mechanism()),
    };
    to_json(&written)
}

/// Erlang's name of the hash function.
fn hash(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::ScramSha1 => "sha",
        Mechanism::ScramSha256 => "sha256",
        Mechanism::ScramSha512 => "sha512",
    }
}

fn mechanism(name: &str) -> Result<Mechanism, Part> {
    Mechanism::ALL.into_iter().find(|m| hash(*m) == name).ok_or(Part::Mechanism)
}
