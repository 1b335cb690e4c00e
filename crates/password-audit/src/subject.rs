//! The input of the rules: stored secrets, roles, and the server's settings.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::ClientKind;
use super::hba::{HbaFile, HbaRule, MatchedRule};
use crate::identify::{Kind, credential, identify_other};
use scram_core::formats::mongodb_user;
use scram_core::keys::Key;
use scram_core::mechanism::Mechanism;
use scram_core::verifier::{Parameters, ParseError, Verifier};

/// An account that has a password, or could have one.
#[derive(Debug)]
pub struct Subject {
    /// Its name, unescaped.
    pub name: String,
    /// Its name in the server's encoding: MD5 hashes are salted with it.
    pub name_bytes: Vec<u8>,
    /// Where it comes from.
    pub origin: Origin,
    /// Its stored secret, if it has one.
    pub secret: Option<StoredSecret>,
}

impl Subject {
    /// The role, if it is one.
    pub fn role(&self) -> Option<&RoleFacts> {
        match &self.origin {
            Origin::Registered { .. } => None,
            Origin::Role(role) => Some(role),
        }
    }

    pub(super) fn role_mut(&mut self) -> Option<&mut RoleFacts> {
        match &mut self.origin {
            Origin::Registered { .. } => None,
            Origin::Role(role) => Some(role),
        }
    }
}

/// Where a subject comes from.
#[derive(Debug)]
pub enum Origin {
    /// A row of a registered source.
    Registered {
        /// The name of the source.
        name: Arc<str>,
        /// The kind of its clients, if they are not PostgreSQL's.
        client: Option<ClientKind>,
        /// Whether its application needs SCRAM verifiers.
        expects_scram: bool,
    },
    /// A role of the cluster.
    Role(RoleFacts),
}

impl Origin {
    /// The source that findings name.
    pub fn name(&self) -> &str {
        match self {
            Self::Registered { name, .. } => name,
            Self::Role(_) => "role",
        }
    }
}

/// Facts that only a role of the cluster has.
#[derive(Clone, Debug)]
pub struct RoleFacts {
    /// LOGIN.
    pub can_login: bool,
    /// When an audit first saw the present secret; `None` if none did.
    pub first_seen: Option<FirstSeen>,
    /// How the role can read stored hashes although it is no superuser; `None` if it cannot.
    pub hash_access: Option<String>,
    /// The rules of pg_hba.conf that decide about the role; `None` if [`join`](crate::hba::join)
    /// did not run, or for a role without LOGIN.
    pub hba_rules: Option<Arc<[MatchedRule]>>,
    /// The role's settings that decide how passwords are stored, as `name=value` and the place;
    /// `None` if it has none.
    pub overrides: Option<String>,
    /// What the role can do beyond its own data: attributes, memberships and databases that it owns, as words
    /// for evidence.
    pub powers: Vec<String>,
    /// REPLICATION.
    pub replication: bool,
    /// SUPERUSER.
    pub superuser: bool,
    /// VALID UNTIL.
    pub valid_until: ValidUntil,
}

impl RoleFacts {
    /// A role with LOGIN about which nothing else is known.
    pub fn of_login(replication: bool, superuser: bool) -> Self {
        Self {
            can_login: true,
            first_seen: None,
            hash_access: None,
            hba_rules: None,
            overrides: None,
            powers: Vec::new(),
            replication,
            superuser,
            valid_until: ValidUntil::Never,
        }
    }
}

/// When something was first seen.
#[derive(Clone, Debug)]
pub struct FirstSeen {
    /// Minutes ago.
    pub minutes: i64,
    /// The time as text.
    pub text: String,
}

/// When a password stops working.
#[derive(Clone, Debug)]
pub enum ValidUntil {
    /// At a time.
    At {
        /// Minutes from now; negative when it has passed.
        minutes: i64,
        /// The time as text.
        text: String,
    },
    /// The password does not expire.
    Never,
}

/// A stored secret, read once for all rules. Never printed.
pub struct StoredSecret {
    kind: Kind,
    served: Option<ParsedSecret>,
    text: Zeroizing<String>,
    flaw: Option<ParseError>,
    user: Option<String>,
    verifier: Option<Verifier>,
    unread: Option<usize>,
}

/// A secret that is not in the strict form, as the running server reads it.
pub struct ParsedSecret {
    /// The iteration count as stored; the server runs one iteration for 0 and less.
    pub iterations: i32,
    /// Raw bytes, may be empty.
    pub salt: Vec<u8>,
    /// The key for SCRAM-SHA-256.
    pub server_key: Key,
    /// The key for SCRAM-SHA-256.
    pub stored_key: Key,
}

impl StoredSecret {
    /// Parses a stored secret.
    ///
    /// `server_reads` asks the running server to parse a SCRAM secret (`parse_scram_secret` in
    /// PostgreSQL's `src/backend/libpq/auth-scram.c`). It is called for texts that are not in the
    /// strict form, and returns `None` if the server does not accept the text.
    pub fn parse(
        text: Zeroizing<String>,
        server_reads: impl FnOnce(&str) -> Option<ParsedSecret>,
    ) -> Self {
        let mut served = None;
        let (kind, flaw, verifier) = match text.parse::<Verifier>() {
            Ok(verifier) => (verifier.mechanism().into(), None, Some(verifier)),
            Err(flaw) => {
                let kind = identify_other(&text, |text| {
                    served = server_reads(text);
                    served.is_some()
                });
                let verifier = served.as_ref().and_then(ParsedSecret::verifier);
                (kind, Some(flaw), verifier.or_else(|| credential(&text, kind)))
            }
        };
        let user = (kind == Kind::Mongodb).then(|| mongodb_user(&text)).flatten();
        Self { kind, served, text, flaw, user, verifier, unread: None }
    }

    /// A stored value of so many bytes that it was not read: no form of a secret is as long.
    pub fn unread(bytes: usize) -> Self {
        Self {
            kind: Kind::Unknown,
            served: None,
            text: Zeroizing::default(),
            flaw: None,
            user: None,
            verifier: None,
            unread: Some(bytes),
        }
    }

    /// The length in bytes of a value that was not read.
    pub fn unread_len(&self) -> Option<usize> {
        self.unread
    }

    /// The kind of the secret.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text as stored.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Why it isn't a verifier in the strict form.
    pub(super) fn flaw(&self) -> Option<ParseError> {
        self.flaw
    }

    /// The name of its user, if the text holds it.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The verifier as the server reads it; `None` if no key can be derived for it.
    pub(super) fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    /// The iteration count as the server reads it: 0 and less are possible.
    pub fn iterations(&self) -> Option<i32> {
        match (&self.served, &self.verifier) {
            (Some(served), _) => Some(served.iterations),
            (None, Some(verifier)) => i32::try_from(verifier.iterations().get()).ok(),
            (None, None) => None,
        }
    }

    /// The `StoredKey`; `None` if the secret has no verifier. Verifiers of the same password, salt and
    /// count have the same one.
    pub fn stored_key(&self) -> Option<&[u8]> {
        self.verifier().map(|verifier| verifier.stored_key().as_bytes())
    }

    /// The salt as the server reads it, may be empty.
    pub fn salt(&self) -> Option<&[u8]> {
        match (&self.served, &self.verifier) {
            (Some(served), _) => Some(&served.salt),
            (None, Some(verifier)) => Some(verifier.salt()),
            (None, None) => None,
        }
    }
}

impl ParsedSecret {
    /// A verifier that derives the same keys. A count below 1 becomes 1, because
    /// `scram_SaltedPassword` always runs the first iteration. `None` if the salt is empty or too
    /// long.
    pub fn verifier(&self) -> Option<Verifier> {
        let iterations = u32::try_from(self.iterations.max(1)).ok()?.try_into().ok()?;
        let parameters =
            Parameters::new(Mechanism::ScramSha256, iterations, self.salt.clone()).ok()?;
        Some(Verifier::from_keys(parameters, self.stored_key.clone(), self.server_key.clone()))
    }
}

/// Never prints the text or a key.
impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSecret").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The server that the audit runs in.
#[derive(Debug, Default)]
pub struct ServerConfig {
    /// SECURITY DEFINER functions and views that look like they return stored hashes.
    pub hash_paths: Vec<HashPath>,
    /// The rules of pg_hba.conf, in order.
    pub hba: Vec<HbaRule>,
    /// The file with these rules.
    pub hba_file: HbaFile,
    /// Settings of databases, or of all roles, that decide how passwords are stored: the owner of
    /// the setting, and `name=value`.
    pub overrides: Vec<(String, String)>,
    /// Settings by name. A setting that this server does not have is left out.
    pub settings: Vec<(String, String)>,
}

/// A SECURITY DEFINER function or a view that looks like it returns stored hashes, as poolers use for `auth_query`.
#[derive(Debug)]
pub struct HashPath {
    /// `function` and its signature; `view` or `materialized view` and its name.
    pub name: String,
    /// The role with whose rights it reads.
    pub owner: String,
    /// Whether PUBLIC may use it.
    pub is_public: bool,
    /// Roles that may use it and could not read the hashes themselves.
    pub readers: Vec<String>,
}

impl ServerConfig {
    /// The value of a setting, in the unit that the server counts it in.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
