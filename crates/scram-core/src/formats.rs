//! Stored credentials of other systems: what they write becomes a verifier, and a verifier becomes
//! what they read.
//!
//! No form is converted beyond recognition: keys, salt and count are the same in all of them.

mod document;
mod dovecot;
mod ejabberd;
mod encoding;
mod error;
mod kafka;
mod ldap;
mod mongodb;
mod prosody;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

pub use error::{ExportError, ImportError, Part, ReadError, UnknownFormat};

use crate::Mechanism;
use crate::verifier::{MAX_ITERATIONS, Verifier};

/// The form in which a system stores a SCRAM credential.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// Dovecot's `{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey`.
    Dovecot,
    /// ejabberd's: the columns of its table as JSON, its Erlang record, or what its exports hold.
    Ejabberd,
    /// Kafka's `salt=…,stored_key=…,server_key=…,iterations=…`.
    Kafka,
    /// `authPassword` of RFC 5803, or its value behind `{SCRAM-SHA-256}` in `userPassword`.
    Ldap,
    /// MongoDB's credentials, or a whole user, in Extended JSON.
    Mongodb,
    /// The text form of [`Verifier`].
    PostgreSql,
    /// Prosody's: a file of its `accounts`, or the same members as JSON.
    Prosody,
}

impl Format {
    /// All formats, in the order that messages list them in.
    pub const ALL: [Self; 7] = [
        Self::PostgreSql,
        Self::Ldap,
        Self::Kafka,
        Self::Mongodb,
        Self::Dovecot,
        Self::Prosody,
        Self::Ejabberd,
    ];

    /// The name that SQL knows. Part of the interface: never renamed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dovecot => "dovecot",
            Self::Ejabberd => "ejabberd",
            Self::Kafka => "kafka",
            Self::Ldap => "ldap",
            Self::Mongodb => "mongodb",
            Self::PostgreSql => "postgresql",
            Self::Prosody => "prosody",
        }
    }

    /// The mechanisms that the system knows, and the iteration counts that it accepts.
    ///
    /// Sources: `ScramMechanism` in Kafka, `mechanism_scram.h` in MongoDB, `scram_scheme_parse` in
    /// Dovecot, `get_scram_hasher` in Prosody's util/sasl/scram.lua, `ejabberd_auth_sql.erl`.
    fn limits(self) -> (&'static [Mechanism], RangeInclusive<u32>) {
        use Mechanism::{ScramSha1, ScramSha256, ScramSha512};
        match self {
            Self::Dovecot | Self::Mongodb | Self::Prosody => {
                (&[ScramSha1, ScramSha256], 4096..=MAX_ITERATIONS)
            }
            Self::Ejabberd | Self::Ldap => (&Mechanism::ALL, 1..=MAX_ITERATIONS),
            Self::Kafka => (&[ScramSha256, ScramSha512], 4096..=16384),
            Self::PostgreSql => (&[ScramSha256], 1..=MAX_ITERATIONS),
        }
    }
}

impl fmt::Display for Format {
    /// The name of the system, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dovecot => "Dovecot",
            Self::Ejabberd => "ejabberd",
            Self::Kafka => "Kafka",
            Self::Ldap => "LDAP",
            Self::Mongodb => "MongoDB",
            Self::PostgreSql => "PostgreSQL",
            Self::Prosody => "Prosody",
        })
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

/// The credentials of one user in the form of another system.
#[derive(Debug)]
pub struct Stored {
    /// The form; never [`Format::PostgreSql`].
    pub format: Format,
    /// One or more, each of another mechanism, the weakest first.
    verifiers: Vec<Verifier>,
}

impl Stored {
    /// Reads a text in one of the forms of other systems, parsed as strictly as they do.
    ///
    /// Counts outside of Kafka's bounds are read, because the audit reports them.
    ///
    /// # Errors
    ///
    /// [`ReadError`] names the part that is wrong, never its content.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let readers: [(Format, Reader); 5] = [
            (Format::Dovecot, dovecot::read),
            (Format::Ldap, ldap::read),
            (Format::Kafka, kafka::read),
            (Format::Ejabberd, ejabberd::read),
            (Format::Prosody, prosody::read),
        ];
        let read = readers.iter().find_map(|(format, read)| Some((*format, read(text)?)));
        let (format, parts) = read.or_else(|| document::read(text)).ok_or(ReadError::Unknown)?;
        match parts {
            Ok(verifiers) if verifiers.is_empty() => Err(ReadError::Unknown),
            Ok(verifiers) => Ok(Self { format, verifiers }),
            Err(part) => Err(ReadError::Part { format, part }),
        }
    }

    /// The verifier of the strongest mechanism.
    pub fn strongest(self) -> Option<Verifier> {
        self.verifiers.into_iter().next_back()
    }
}

/// Reads a verifier from any form, also from its own.
///
/// `mechanism` chooses one of several credentials; `None` chooses the strongest.
///
/// # Errors
///
/// [`ImportError`] says what is wrong; a credential that its own system would not accept is an error.
pub fn import(text: &str, mechanism: Option<Mechanism>) -> Result<Verifier, ImportError> {
    let verifiers = match text.parse::<Verifier>() {
        Ok(verifier) => vec![verifier],
        Err(why) => match Stored::read(text) {
            Ok(Stored { format, verifiers }) => {
                let (_, iterations) = format.limits();
                if verifiers.iter().any(|v| !iterations.contains(&v.iterations().get())) {
                    return Err(ReadError::Part { format, part: Part::Iterations }.into());
                }
                verifiers
            }
            Err(ReadError::Unknown) if text.starts_with("SCRAM-") => return Err(why.into()),
            Err(why) => return Err(why.into()),
        },
    };
    let wanted = |v: &Verifier| mechanism.is_none_or(|mechanism| v.mechanism() == mechanism);
    verifiers.into_iter().rfind(wanted).ok_or(ImportError::Mechanism)
}

/// The name of the user that a whole document of MongoDB is about; `None` for another text.
pub fn mongodb_user(text: &str) -> Option<String> {
    mongodb::user(text)
}

/// Writes a verifier in the form of a system.
///
/// # Errors
///
/// [`ExportError`] says what the system cannot hold.
pub fn export(verifier: &Verifier, format: Format) -> Result<String, ExportError> {
    let mechanism = verifier.mechanism();
    let (mechanisms, iterations) = format.limits();
    if !mechanisms.contains(&mechanism) {
        return Err(ExportError::Mechanism { format, mechanism });
    }
    if !iterations.contains(&verifier.iterations().get()) {
        let (min, max) = iterations.into_inner();
        return Err(ExportError::Iterations { format, min, max });
    }
    match format {
        Format::Dovecot => Ok(dovecot::write(verifier)),
        Format::Ejabberd => Ok(ejabberd::write(verifier)),
        Format::Kafka => Ok(kafka::write(verifier)),
        Format::Ldap | Format::PostgreSql => Ok(verifier.to_string()),
        Format::Mongodb => mongodb::write(verifier),
        Format::Prosody => prosody::write(verifier),
    }
}

/// Reads a form; `None` for a text that is not in it.
type Reader = fn(&str) -> Option<Parts>;

/// What a reader makes of a text that is in its form.
type Parts = Result<Vec<Verifier>, Part>;
