//! The argument `preparation` of `generate` and `verify`.

use scram_core::Password;

use crate::error::Error;
use crate::pg::text::ServerText;

/// How the bytes that are hashed come from a password.
#[derive(Clone, Copy)]
pub(super) enum Preparation {
    /// Not changed: Kafka.
    None,
    /// As ALTER ROLE in this database.
    PostgreSql,
    /// RFC 4013: MongoDB.
    SaslPrep,
}

impl Preparation {
    /// Reads the argument; NULL means `postgresql`.
    pub(super) fn parse(name: Option<&ServerText>) -> Result<Self, Error> {
        match name.map(ServerText::as_ascii) {
            Some("none") => Ok(Self::None),
            None | Some("postgresql") => Ok(Self::PostgreSql),
            Some("saslprep") => Ok(Self::SaslPrep),
            Some(_) => Err(Error::Preparation),
        }
    }

    /// Prepares a password. Raises 22023 for one that is too long or that RFC 4013 forbids.
    pub(super) fn prepare(self, password: &ServerText) -> Result<Password, Error> {
        match self {
            Self::None => {
                password.check_length()?;
                Ok(Password::unprepared(password.as_bytes()))
            }
            Self::PostgreSql => password.password(),
            Self::SaslPrep => {
                password.check_length()?;
                // RFC 4013 is about characters, so the database's encoding must not matter.
                Ok(Password::prepare_rfc4013(&password.to_wire())?)
            }
        }
    }
}
