//! Iteration counts and salts that clients refuse.

use super::{Origin, Policy, StoredSecret, Subject};
use crate::identify::Kind;

/// What the newest version that was looked at accepts by default. libpq, Npgsql and pgx have no limit.
const CLIENTS: &[Client] = &[
    // `MAX_ITERATIONS` in plugins/scram.c
    Client { name: "Cyrus SASL", max: Some(65_536), ..Client::ANY },
    // `ScramMechanism.java`
    Client {
        name: "Kafka",
        min: Some(4096),
        max: Some(16_384),
        kind: Some(ClientKind::Kafka),
        ..Client::ANY
    },
    // MongoDB's specification of authentication, which all drivers follow
    Client {
        name: "MongoDB's drivers",
        min: Some(4096),
        kind: Some(ClientKind::Mongodb),
        ..Client::ANY
    },
    // Until its pull request 1581 of September 2026: `calculate_client_proof` in sources/scram.c
    Client { name: "Odyssey", salt_len: Some(16), ..Client::ANY },
    // pg8000 1.31.6 with scramp 1.5.0: `IterationCount` in core.py
    Client { name: "pg8000", min: Some(4096), max: Some(10_000_000), ..Client::ANY },
    // pgjdbc 42.7.11, and 42.2 to 42.6 with the fix of CVE-2026-42198: `scramMaxIterations`
    Client { name: "pgjdbc", max: Some(100_000), ..Client::ANY },
    // node-postgres 8.23.1: `scramMaxIterations` in lib/crypto/sasl.js
    Client { name: "node-postgres", max: Some(100_000), ..Client::ANY },
    // rust-postgres, postgres-protocol 0.6.12: `MAX_ITERATION_COUNT` in sasl.rs
    Client { name: "rust-postgres", max: Some(100_000), ..Client::ANY },
];

struct Client {
    name: &'static str,
    min: Option<i32>,
    max: Option<i32>,
    /// The one length of a salt that it accepts, in bytes.
    salt_len: Option<usize>,
    /// `None` for clients of PostgreSQL and of systems with the same form of verifier.
    kind: Option<ClientKind>,
}

impl Client {
    const ANY: Self = Self { name: "", min: None, max: None, salt_len: None, kind: None };
}

/// The system that the clients of a registered source belong to, if it is not PostgreSQL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientKind {
    /// Apache Kafka.
    Kafka,
    /// MongoDB.
    Mongodb,
}

impl ClientKind {
    /// By the name that a source is marked with.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "kafka" => Some(Self::Kafka),
            "mongodb" => Some(Self::Mongodb),
            _ => None,
        }
    }

    fn for_secret(subject: &Subject, secret: &StoredSecret) -> Option<Self> {
        match (&subject.origin, secret.kind()) {
            (Origin::Registered { client: Some(client), .. }, _) => Some(*client),
            (_, Kind::Kafka) => Some(Self::Kafka),
            (_, Kind::Mongodb) => Some(Self::Mongodb),
            _ => None,
        }
    }
}

/// The evidence of a count below the policy, or below what the system itself accepts.
pub(super) fn too_few(subject: &Subject, secret: &StoredSecret, policy: &Policy) -> Option<String> {
    let iterations = secret.iterations()?;
    let kind = ClientKind::for_secret(subject, secret);
    let is_below = match kind {
        None => policy.minimum().is_above_iterations(iterations.into()),
        Some(_) => !refusing(kind, |client| client.min, |min| iterations < min).is_empty(),
    };
    if !is_below {
        return None;
    }
    let refusing = refusing(kind, |client| client.min, |min| iterations < min)
        .into_iter()
        .map(|(name, min)| format!("{name} below {min}"))
        .collect::<Vec<_>>();
    let wanted = match kind {
        None => format!(", at least {} wanted", policy.min_iterations),
        Some(_) => String::new(),
    };
    let refused = match &refusing[..] {
        [] => String::new(),
        names => format!(", refused by {}", names.join(", ")),
    };
    Some(format!("iteration count {iterations}{wanted}{refused}"))
}

/// The evidence of a count that clients refuse.
pub(super) fn refused(subject: &Subject, secret: &StoredSecret, policy: &Policy) -> Option<String> {
    let iterations = secret.iterations()?;
    let kind = ClientKind::for_secret(subject, secret);
    // PostgreSQL's clients have a setting; another client's have their own limits alone.
    let limit = match kind {
        None => i64::from(policy.client_max_iterations),
        Some(_) => {
            let limits = CLIENTS.iter().filter(|client| client.kind == kind);
            limits.filter_map(|client| client.max).min().map_or(i64::MAX, i64::from)
        }
    };
    // Counts above max_iterations are always reported, because no password is tried on them.
    let limit = limit.min(i64::from(policy.max_iterations));
    if i64::from(iterations) <= limit {
        return None;
    }
    let refusing = refusing(kind, |client| client.max, |max| iterations > max)
        .into_iter()
        .map(|(name, max)| format!("{name} above {max}"))
        .collect::<Vec<_>>();
    let mut evidence = match refusing[..] {
        [] => format!("iteration count {iterations}, at most {limit} wanted"),
        _ => format!("iteration count {iterations}, refused by {}", refusing.join(", ")),
    };
    if i64::from(iterations) > i64::from(policy.max_iterations) {
        evidence += &format!(
            "; no password is tried on it, as scram.max_iterations is {}",
            policy.max_iterations
        );
    }
    Some(evidence)
}

/// The clients of PostgreSQL that refuse a salt of this length.
pub(super) fn refused_salt(len: usize) -> Option<String> {
    let clients = CLIENTS.iter().filter_map(|client| Some((client.name, client.salt_len?)));
    let refusing = clients
        .filter(|(_, wanted)| *wanted != len)
        .map(|(name, wanted)| format!("{name} accepts {wanted} bytes only"))
        .collect::<Vec<_>>();
    (!refusing.is_empty()).then(|| refusing.join(", "))
}

/// The clients of PostgreSQL that refuse so many iterations or a salt of this length, with their limits.
pub(super) fn refusing_clients(iterations: i32, salt_len: usize) -> Vec<String> {
    let above = refusing(None, |client| client.max, |max| iterations > max);
    let below = refusing(None, |client| client.min, |min| iterations < min);
    let above = above.into_iter().map(|(name, max)| format!("{name} above {max} iterations"));
    let below = below.into_iter().map(|(name, min)| format!("{name} below {min} iterations"));
    above.chain(below).chain(refused_salt(salt_len)).collect()
}

/// Whether the system makes its salts of text: Kafka's are random numbers in digits and letters.
pub(super) fn has_text_salt(subject: &Subject, secret: &StoredSecret) -> bool {
    ClientKind::for_secret(subject, secret) == Some(ClientKind::Kafka)
}

/// The clients of a kind whose limit refuses, with the limit.
fn refusing(
    kind: Option<ClientKind>,
    limit: impl Fn(&Client) -> Option<i32>,
    refuses: impl Fn(i32) -> bool,
) -> Vec<(&'static str, i32)> {
    let clients = CLIENTS.iter().filter(|client| client.kind == kind);
    clients
        .filter_map(|client| Some((client.name, limit(client).filter(|limit| refuses(*limit))?)))
        .collect()
}
