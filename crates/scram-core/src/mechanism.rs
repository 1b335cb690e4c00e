//! The SCRAM mechanisms and the hash function behind each.

use std::fmt;
use std::str::FromStr;

/// A SCRAM mechanism without its channel-binding suffix, as a verifier names it.
///
/// Source: RFC 5802 section 4, RFC 7677 section 2; SCRAM-SHA-512 as in the IANA registry.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Mechanism {
    /// `SCRAM-SHA-1`, keys of 20 bytes.
    ScramSha1,
    /// `SCRAM-SHA-256`, keys of 32 bytes: the only one that PostgreSQL itself stores.
    ScramSha256,
    /// `SCRAM-SHA-512`, keys of 64 bytes.
    ScramSha512,
}

impl Mechanism {
    /// Every mechanism, the weakest first.
    pub const ALL: [Self; 3] = [Self::ScramSha1, Self::ScramSha256, Self::ScramSha512];

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// The length of `StoredKey`, `ServerKey` and the proof, in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::ScramSha1 => 20,
            Self::ScramSha256 => 32,
            Self::ScramSha512 => 64,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    /// Reads the exact name: mechanism names are case sensitive here, as in PostgreSQL.
    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        Self::ALL.into_iter().find(|m| m.name() == name).ok_or(UnknownMechanism)
    }
}

/// The mechanism name that a client selected in the SASL exchange: a mechanism, with or without
/// channel binding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Selection {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// Whether the name ended in `-PLUS`.
    pub plus: bool,
}

impl From<Mechanism> for Selection {
    fn from(mechanism: Mechanism) -> Self {
        Self { mechanism, plus: false }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.mechanism, if self.plus { "-PLUS" } else { "" })
    }
}

impl FromStr for Selection {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        let (name, plus) = name.strip_suffix("-PLUS").map_or((name, false), |name| (name, true));
        Ok(Self { mechanism: name.parse()?, plus })
    }
}

/// The name is not one of [`Mechanism::ALL`], with or without `-PLUS`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("known are SCRAM-SHA-1, SCRAM-SHA-256 and SCRAM-SHA-512, for a handshake also with -PLUS")]
pub struct UnknownMechanism;
