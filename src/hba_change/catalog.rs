//! The roles, databases and settings that rules of pg_hba.conf are compared for.

use password_audit::Kind;
use password_audit::hba::{Credential, Database, ListenConfig, LoginRole};
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::catalog_role::CatalogRole;
use crate::pg::query::query;
use crate::pg::text::ServerText;
use crate::pg::{clock, hba, interrupt, scram_secret};

/// In an order that is the same in every database.
const LOGINS: &str = r#"
SELECT a.rolname::text AS name
FROM pg_authid a
WHERE a.rolcanlogin
ORDER BY a.rolname::text COLLATE "C""#;

const DATABASES: &str = "SELECT d.datname::text AS name FROM pg_database d WHERE d.datallowconn";

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

/// The connections that the server accepts, whichever role has the CONNECT privilege.
pub(super) fn listen_config() -> Result<ListenConfig, ErrorReport> {
    let database = |name| Database { name, open_to: None };
    hba::listen_config(query(DATABASES, &[], |row| Ok(database(row.text("name")?)))?)
}
