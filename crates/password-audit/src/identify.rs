//! Recognises the kind of a stored secret by its form. It derives no key.

mod crypt;
mod hash;

use std::fmt;

pub(crate) use hash::{is_locked, read as hash};
use scram_core::formats::{Format, Stored};
use scram_core::mechanism::Mechanism;
use scram_core::verifier::Verifier;

/// Names the kind of a stored secret, of any length.
///
/// `server_accepts` asks the running server whether it would store and serve the text as
/// SCRAM-SHA-256 (`get_password_type` in PostgreSQL's `src/backend/libpq/crypt.c`). The answer
/// differs from release to release, so that a copy of the rule would be wrong on some of them. It
/// is called at most once, and only for texts that are not in the strict form.
///
/// Each form is parsed as strictly as its own system does, keys and counts included. So a plain
/// text that resembles a hash is [`Kind::Unknown`]; otherwise the audit would overlook it.
///
/// The forms of LDAP, Prosody and ejabberd have no label of their own: they are named by the
/// strongest mechanism that they hold.
pub fn identify(secret: &str, server_accepts: impl FnOnce(&str) -> bool) -> Kind {
    match secret.parse::<Verifier>() {
        Ok(verifier) => verifier.mechanism().into(),
        Err(_) => identify_other(secret, server_accepts),
    }
}

/// [`identify`] of a text that is not in the strict form.
pub(crate) fn identify_other(secret: &str, server_accepts: impl FnOnce(&str) -> bool) -> Kind {
    if server_accepts(secret) {
        return Kind::ScramLax;
    }
    if let Some(kind) = credential_kind(secret) {
        return kind;
    }
    if secret.starts_with("SCRAM-") {
        return Kind::ScramMalformed;
    }
    if is_md5(secret) {
        return Kind::Md5;
    }
    hash::read(secret).map_or(Kind::Unknown, |hash| hash.kind)
}

/// Whether a text has a form of a secret. The server is not asked, so that a text that only it accepts has none.
pub fn looks_like_a_secret(text: &str) -> bool {
    let can_be = text.len() >= SHORTEST || text.starts_with("SCRAM-");
    can_be && identify(text, |_| false) != Kind::Unknown
}

/// No form of a secret has fewer bytes, but for a torn one of SCRAM: the shortest is MD5-crypt with one byte of salt. It
/// spares the readers each name.
const SHORTEST: usize = 27;

/// The verifier inside a credential of another system; `None` for other kinds.
///
/// MongoDB's have up to two: the one for SCRAM-SHA-256 if it is there.
pub(crate) fn credential(secret: &str, kind: Kind) -> Option<Verifier> {
    // Spares the readers each text that `identify` has found to be something else.
    match kind {
        Kind::Dovecot
        | Kind::Kafka
        | Kind::Mongodb
        | Kind::ScramSha1
        | Kind::ScramSha256
        | Kind::ScramSha512 => Stored::read(secret).ok()?.strongest(),
        _ => None,
    }
}

/// The kind of a credential of another system.
fn credential_kind(secret: &str) -> Option<Kind> {
    let stored = Stored::read(secret).ok()?;
    match stored.format {
        Format::Dovecot => Some(Kind::Dovecot),
        Format::Kafka => Some(Kind::Kafka),
        Format::Mongodb => Some(Kind::Mongodb),
        Format::Ejabberd | Format::Ldap | Format::PostgreSql | Format::Prosody => {
            Some(stored.strongest()?.mechanism().into())
        }
    }
}

/// PostgreSQL's: `md5` and exactly 32 lower-case hexadecimal digits (`MD5_PASSWD_CHARSET` in
/// src/include/common/md5.h).
fn is_md5(secret: &str) -> bool {
    secret.strip_prefix("md5").is_some_and(|hex| {
        hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The kind of a stored secret.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// Argon2d, Argon2i or Argon2id in the PHC string format.
    Argon2,
    /// bcrypt, `$2b$…`.
    Bcrypt,
    /// Dovecot's `{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey`.
    Dovecot,
    /// Kafka's `salt=…,stored_key=…,server_key=…,iterations=…`.
    Kafka,
    /// PostgreSQL's, from before SCRAM.
    Md5,
    /// MD5-crypt, `$1$…` or Apache's `$apr1$…`.
    Md5Crypt,
    /// MongoDB's credentials as JSON.
    Mongodb,
    /// PBKDF2 in passlib's, PHC's, Django's or Werkzeug's form.
    Pbkdf2,
    /// The running server takes it for SCRAM-SHA-256, although it is not in the strict form.
    ScramLax,
    /// Begins with `SCRAM-`, but the server does not accept it: it would take the text for a
    /// password.
    ScramMalformed,
    /// A SCRAM-SHA-1 verifier in the strict form, or a credential of LDAP, Prosody or ejabberd.
    ScramSha1,
    /// A SCRAM-SHA-256 verifier in the strict form, or a credential of LDAP, Prosody or ejabberd.
    ScramSha256,
    /// A SCRAM-SHA-512 verifier in the strict form, or a credential of LDAP or ejabberd.
    ScramSha512,
    /// scrypt in crypt's, PHC's, Django's or Werkzeug's form.
    Scrypt,
    /// SHA-256-crypt, `$5$…`.
    Sha256Crypt,
    /// SHA-512-crypt, `$6$…`.
    Sha512Crypt,
    /// Anything else: a hash of few steps, or plain text.
    Unknown,
    /// yescrypt, `$y$…`.
    Yescrypt,
}

impl Kind {
    /// The label that SQL sees. Part of the interface: never renamed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Argon2 => "argon2",
            Self::Bcrypt => "bcrypt",
            Self::Dovecot => "dovecot",
            Self::Kafka => "kafka",
            Self::Md5 => "md5",
            Self::Md5Crypt => "md5crypt",
            Self::Mongodb => "mongodb",
            Self::Pbkdf2 => "pbkdf2",
            Self::ScramLax => "scram-lax",
            Self::ScramMalformed => "scram-malformed",
            Self::ScramSha1 => "scram-sha-1",
            Self::ScramSha256 => "scram-sha-256",
            Self::ScramSha512 => "scram-sha-512",
            Self::Scrypt => "scrypt",
            Self::Sha256Crypt => "sha256crypt",
            Self::Sha512Crypt => "sha512crypt",
            Self::Unknown => "unknown",
            Self::Yescrypt => "yescrypt",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kind of a verifier of this mechanism.
impl From<Mechanism> for Kind {
    fn from(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::ScramSha1 => Self::ScramSha1,
            Mechanism::ScramSha256 => Self::ScramSha256,
            Mechanism::ScramSha512 => Self::ScramSha512,
        }
    }
}
