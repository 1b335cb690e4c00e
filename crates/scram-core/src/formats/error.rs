//! Why a text is not read or a verifier not written. No error holds a part's content.

use super::Format;
use crate::Mechanism;
use crate::verifier::ParseError;

/// The name is not one of [`Format::ALL`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown format")]
pub struct UnknownFormat;

/// A part of a credential.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Part {
    /// One that is missing, given twice, or that the form does not have.
    #[error("a field")]
    Fields,
    /// The iteration count.
    #[error("the iteration count")]
    Iterations,
    /// The mechanism.
    #[error("the mechanism")]
    Mechanism,
    /// The salt.
    #[error("the salt")]
    Salt,
    /// ServerKey.
    #[error("ServerKey")]
    ServerKey,
    /// StoredKey.
    #[error("StoredKey")]
    StoredKey,
}

/// Why a text is not read as a credential of another system.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// In the form of a system, but a part is missing or not as the system stores it.
    #[error("the text is in the form of {format}, but {part} is missing or not acceptable there")]
    Part {
        /// The system.
        format: Format,
        /// The part.
        part: Part,
    },
    /// In no form that is known.
    #[error("the text is in no form that is known")]
    Unknown,
}

/// Why no verifier can be made of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// There is no credential of the wanted mechanism.
    #[error("the text has no credential of this mechanism")]
    Mechanism,
    /// It is not in the form of another system.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It begins like a verifier.
    #[error(transparent)]
    Verifier(#[from] ParseError),
}

/// Why a system cannot hold a verifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The iteration count.
    #[error("{format} accepts {min} to {max} iterations")]
    Iterations {
        /// The system.
        format: Format,
        /// The lowest count.
        min: u32,
        /// The highest count.
        max: u32,
    },
    /// The mechanism.
    #[error("{format} stores no credentials of {mechanism}")]
    Mechanism {
        /// The system.
        format: Format,
        /// The mechanism of the verifier.
        mechanism: Mechanism,
    },
    /// The length of the salt.
    #[error("{format} takes a salt of {len} bytes with this mechanism")]
    SaltLength {
        /// The system.
        format: Format,
        /// Bytes.
        len: usize,
    },
    /// The salt's bytes.
    #[error("{format} stores the salt as text, and this salt is not printable ASCII")]
    SaltText {
        /// The system.
        format: Format,
    },
}
