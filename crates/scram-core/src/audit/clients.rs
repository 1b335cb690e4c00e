//! Which clients refuse to log in with a high iteration count.

use super::{Origin, Policy, Secret, Subject};
use crate::identify::Kind;

/// One entry a client: the highest count that it takes by default, and whose credentials it uses.
const CLIENTS: &[Client] = &[
    // sasl-scram's `MAX_ITERATIONS` in Cyrus SASL's plugins/scram.c
    Client { name: "Cyrus SASL", limit: 65_536, system: None },
    // `ScramMechanism.java`
    Client { name: "Kafka", limit: 16_384, system: Some(System::Kafka) },
    // CVE-2026-42198
    Client { name: "pgjdbc", limit: 100_000, system: None },
    // postgres-protocol's `sasl.rs`
    Client { name: "rust-postgres", limit: 100_000, system: None },
];

struct Client {
    name: &'static str,
    limit: i32,
    /// `None`: PostgreSQL's, and whoever uses its form.
    system: Option<System>,
}

/// Whose clients log in with the secrets of a registered source, if not PostgreSQL's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum System {
    /// Apache Kafka.
    Kafka,
}

impl System {
    /// By the name that a source is marked with.
    pub fn named(name: &str) -> Option<Self> {
        (name == "kafka").then_some(Self::Kafka)
    }

    fn of(subject: &Subject, secret: &Secret) -> Option<Self> {
        match &subject.origin {
            Origin::Registered { system: Some(system), .. } => Some(*system),
            _ if secret.kind() == Kind::Kafka => Some(Self::Kafka),
            _ => None,
        }
    }
}

/// The evidence of a count that clients refuse.
pub(super) fn refused(subject: &Subject, secret: &Secret, policy: &Policy) -> Option<String> {
    let iterations = secret.iterations()?;
    let system = System::of(subject, secret);
    // PostgreSQL's clients have a setting; another system's have their own limits alone.
    let limit = match system {
        None => i64::from(policy.client_max_iterations),
        Some(_) => CLIENTS.iter().filter(|c| c.system == system).map(|c| c.limit.into()).min()?,
    };
    // What is above that is not looked into: it must not pass in silence.
    let limit = limit.min(i64::from(policy.max_iterations));
    if i64::from(iterations) <= limit {
        return None;
    }
    let refusing = CLIENTS
        .iter()
        .filter(|client| client.system == system && iterations > client.limit)
        .map(|client| format!("{} above {}", client.name, client.limit))
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
