//! The facts about a login.

use std::net::IpAddr;

use crate::hba::{HbaRule, Interface};
use crate::identify::Kind;

/// The facts about a login.
#[derive(Debug)]
pub struct LoginFacts {
    /// The login that is asked about.
    pub request: LoginRequest,
    /// Where the server listens.
    pub listening: Listening,
    /// The rules.
    pub hba: HbaState,
    /// The lines of pg_ident.conf; `None` if those in force are not known.
    pub maps: Option<Vec<MapLine>>,
    /// The role; `None` if there is none of this name.
    pub role: Option<LoginRole>,
    /// The database; `None` if there is none of this name.
    pub database: Option<LoginDatabase>,
    /// Connections of the server.
    pub slots: Slots,
    /// Settings that a login would not get.
    pub settings: Vec<SuspectSetting>,
    /// Libraries that a login would fail to load, in the order of loading.
    pub libraries: Vec<MissingLibrary>,
    /// Whether a library takes part in authentication (`ClientAuthentication_hook`).
    pub has_hook: bool,
    /// The major version of the server.
    pub major: u32,
}

/// The login that is asked about.
#[derive(Debug)]
pub struct LoginRequest {
    /// The role that the client names.
    pub role: Name,
    /// The database that the client names.
    pub database: Name,
    /// The client's address; `None` for the Unix-domain socket.
    pub client: Option<IpAddr>,
    /// Whether the client demands TLS.
    pub tls: bool,
    /// Whether the client asks for a connection for physical replication.
    pub replication: bool,
}

impl LoginRequest {
    /// Whether the connection is encrypted: no client uses TLS on a socket.
    pub(super) fn uses_tls(&self) -> bool {
        self.tls && self.client.is_some()
    }
}

/// A name as text and as an SQL identifier.
#[derive(Debug)]
pub struct Name {
    /// For messages.
    pub text: String,
    /// For commands.
    pub sql: String,
}

/// Where the server listens.
#[derive(Debug)]
pub struct Listening {
    /// Whether it listens on a Unix-domain socket.
    pub socket: bool,
    /// `listen_addresses`, split.
    pub addresses: Vec<String>,
    /// Whether it offers TLS.
    pub tls: bool,
    /// Its network interfaces.
    pub interfaces: Vec<Interface>,
}

/// The rules of pg_hba.conf.
#[derive(Debug)]
pub struct HbaState {
    /// The rules, in order.
    pub rules: Vec<HbaRule>,
    /// Why the server would not load the file, so that its rules in force are not known.
    pub error: Option<String>,
    /// Whether the file was changed after the server had loaded it.
    pub is_newer: bool,
}

/// A line of pg_ident.conf.
#[derive(Debug)]
pub struct MapLine {
    /// The map.
    pub map: String,
    /// The name of the system's user.
    pub system: String,
    /// The name of the role.
    pub role: String,
}

/// A role.
#[derive(Debug)]
pub struct LoginRole {
    /// LOGIN.
    pub can_login: bool,
    /// SUPERUSER.
    pub superuser: bool,
    /// REPLICATION.
    pub replication: bool,
    /// VALID UNTIL as text.
    pub valid_until: Option<String>,
    /// Whether it has passed.
    pub is_expired: bool,
    /// CONNECTION LIMIT; negative for none.
    pub connection_limit: i32,
    /// Its connections.
    pub connections: i32,
    /// Its groups, direct and indirect ones.
    pub groups: Vec<String>,
    /// Whether it may use the slots of `reserved_connections`.
    pub may_use_reserved: bool,
    /// Its stored secret.
    pub secret: Option<LoginSecret>,
}

/// A stored secret. It holds no key.
#[derive(Debug)]
pub struct LoginSecret {
    /// The form that the server takes it for.
    pub form: SecretForm,
    /// Its kind, for display.
    pub kind: Kind,
    /// The iteration count that the server sends.
    pub iterations: Option<i32>,
    /// The length of the salt in bytes.
    pub salt_len: Option<usize>,
}

/// `get_password_type` in PostgreSQL's `src/backend/libpq/crypt.c`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SecretForm {
    /// An MD5 hash.
    Md5,
    /// A text that no method accepts.
    Other,
    /// SCRAM-SHA-256.
    Scram,
}

/// A database.
#[derive(Debug)]
pub struct LoginDatabase {
    /// ALLOW_CONNECTIONS.
    pub allows_connections: bool,
    /// Whether the role has CONNECT on it.
    pub may_connect: bool,
    /// CONNECTION LIMIT; negative for none.
    pub connection_limit: i32,
    /// Whether its removal was interrupted (`DATCONNLIMIT_INVALID_DB`).
    pub is_invalid: bool,
    /// Its connections.
    pub connections: i32,
    /// Whether an event trigger of it runs at each login: since PostgreSQL 17.
    pub has_login_trigger: bool,
}

/// Connections of the server, and its limits.
#[derive(Debug)]
pub struct Slots {
    /// `max_connections`.
    pub max: i32,
    /// Connections of clients.
    pub used: i32,
    /// `superuser_reserved_connections`.
    pub superuser_reserved: i32,
    /// `reserved_connections`: since PostgreSQL 16.
    pub reserved: i32,
    /// `max_wal_senders`.
    pub max_senders: i32,
    /// Connections for replication.
    pub senders: i32,
}

/// A setting of the role or database that the server would not apply.
#[derive(Debug)]
pub struct SuspectSetting {
    /// Its name.
    pub name: String,
    /// The command that removes it.
    pub remedy: String,
    /// Why the server would not apply it.
    pub reason: String,
}

/// A library that the server could not load.
#[derive(Debug)]
pub struct MissingLibrary {
    /// The setting that names it.
    pub setting: &'static str,
    /// The library as the server's message names it.
    pub library: String,
    /// Whether only a superuser may name it; otherwise it is not there.
    pub is_forbidden: bool,
    /// The command that removes the setting.
    pub remedy: String,
}
