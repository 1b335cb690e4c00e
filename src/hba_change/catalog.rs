//! The roles, databases and settings that rules of pg_hba.conf are compared for.

use password_audit::Kind;
use password_audit::hba::{Credential, Database, ListenConfig, LoginRole};
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::catalog_role::CatalogRole;
use crate::pg::query::query;
use crate::pg::text::ServerText;
use crate::pg::{clock, interrupt, scram_secret};

/// In an order that is the same in every database.
const LOGINS: &str = r#"
SELECT a.rolname::text AS name
FROM pg_authid a
WHERE a.rolcanlogin
ORDER BY a.rolname::text COLLATE "C""#;

const DATABASES: &str = "SELECT d.datname::text AS name FROM pg_database d WHERE d.datallowconn";

/// Direct memberships.
const MEMBERSHIPS: &str = r"
SELECT a.rolname::text AS member, g.rolname::text AS group_name
FROM pg_auth_members m
JOIN pg_authid a ON a.oid = m.member
JOIN pg_authid g ON g.oid = m.roleid";

const LISTEN: &str = r"
SELECT current_setting('unix_socket_directories') <> '' AS socket,
       current_setting('listen_addresses') <> '' AS tcp,
       current_setting('ssl')::boolean AS tls";

/// Whether a file that was changed at `$1`, in microseconds since 1970, is newer than the configuration.
const IS_NEWER: &str =
    "SELECT timestamptz 'epoch' + $1 * interval '1 microsecond' > pg_conf_load_time() AS is_newer";

pub(super) fn is_newer(changed: i64) -> Result<bool, ErrorReport> {
    let rows = query(IS_NEWER, &[changed.into()], |row| row.value("is_newer"))?;
    Ok(rows.into_iter().any(|is_newer: bool| is_newer))
}

/// Roles that may log in, in order. Secrets come from the server's cache, so that no statement returns them.
pub(super) fn login_roles() -> Result<Vec<LoginRole>, ErrorReport> {
    let names: Vec<ServerText> = query(LOGINS, &[], |row| row.value("name"))?;
    let now = clock::now();
    let role = |name: ServerText| {
        interrupt::check();
        // A role that was dropped meanwhile has no row.
        let role = CatalogRole::lookup(name.as_bytes())?;
        Some(LoginRole {
            name: name.to_display(),
            credential: credential(&role, now),
            replication: role.is_replication || role.is_superuser,
        })
    };
    Ok(names.into_iter().filter_map(role).collect())
}

fn credential(role: &CatalogRole, now: i64) -> Credential {
    match role.secret.as_ref().map(scram_secret::kind) {
        Some(Kind::Md5 | Kind::ScramLax | Kind::ScramSha256)
            if role.valid_until.is_some_and(|until| until < now) =>
        {
            Credential::Expired
        }
        Some(Kind::Md5) => Credential::Md5,
        Some(Kind::ScramLax | Kind::ScramSha256) => Credential::Scram,
        _ => Credential::Nothing,
    }
}

/// The connections that the server accepts.
pub(super) fn listen_config() -> Result<ListenConfig, ErrorReport> {
    let offered =
        query(LISTEN, &[], |row| Ok((row.value("socket")?, row.value("tcp")?, row.value("tls")?)))?;
    let (socket, tcp, tls) = offered.first().copied().unwrap_or_default();
    Ok(ListenConfig {
        databases: query(DATABASES, &[], |row| {
            Ok(Database { name: row.text("name")?, open_to: None })
        })?,
        patterns: cfg!(not(feature = "pg15")),
        memberships: query(MEMBERSHIPS, &[], |row| {
            Ok((row.text("member")?, row.text("group_name")?))
        })?,
        socket,
        tcp,
        tls,
    })
}
