//! Which clients refuse to log in with a high iteration count.

use super::{Origin, Policy, StoredSecret, Subject};
use crate::identify::Kind;

/// One entry for each client: the highest count that it accepts by default, and the kind of
/// credentials that it uses.
const CLIENTS: &[Client] = &[
    // sasl-scram's `MAX_ITERATIONS` in Cyrus SASL's plugins/scram.c
    Client { name: "Cyrus SASL", limit: 65_536, kind: None },
    // `ScramMechanism.java`
    Client { name: "Kafka", limit: 16_384, kind: Some(ClientKind::Kafka) },
    // CVE-2026-42198
    Client { name: "pgjdbc", limit: 100_000, kind: None },
    // postgres-protocol's `sasl.rs`
    Client { name: "rust-postgres", limit: 100_000, kind: None },
];

struct Client {
    name: &'static str,
    limit: i32,
    /// `None` for clients of PostgreSQL and of systems with the same form of verifier.
    kind: Option<ClientKind>,
}

/// The system that the clients of a registered source belong to, if it is not PostgreSQL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientKind {
    /// Apache Kafka.
    Kafka,
}

impl ClientKind {
    /// By the name that a source is marked with.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == "kafka").then_some(Self::Kafka)
    }

    fn for_secret(subject: &Subject, secret: &StoredSecret) -> Option<Self> {
        match &subject.origin {
            Origin::Registered { client: Some(client), .. } => Some(*client),
            _ if secret.kind() == Kind::Kafka => Some(Self::Kafka),
            _ => None,
        }
    }
}

/// The evidence of a count that clients refuse.
pub(super) fn refused(subject: &Subject, secret: &StoredSecret, policy: &Policy) -> Option<String> {
    let iterations = secret.iterations()?;
    let client = ClientKind::for_secret(subject, secret);
    // PostgreSQL's clients have a setting; another client's have their own limits alone.
    let limit = match client {
        None => i64::from(policy.client_max_iterations),
        Some(_) => CLIENTS.iter().filter(|c| c.kind == client).map(|c| c.limit.into()).min()?,
    };
    // Counts above max_iterations are always reported, because no password is tried on them.
    let limit = limit.min(i64::from(policy.max_iterations));
    if i64::from(iterations) <= limit {
        return None;
    }
    let refusing = CLIENTS
        .iter()
        .filter(|entry| entry.kind == client && iterations > entry.limit)
        .map(|entry| format!("{} above {}", entry.name, entry.limit))
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
