//! Reads the facts about a login.

use core::ffi::c_void;
use std::net::IpAddr;

use password_audit::hba::name_rules;
use password_audit::login::{
    HbaState, Listening, LoginDatabase, LoginFacts, LoginRequest, LoginRole, LoginSecret, Name,
    Slots,
};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::{library, pattern, setting};
use crate::pg::catalog_role::CatalogRole;
use crate::pg::query::{one_row, query};
use crate::pg::text::ServerText;
use crate::pg::{hba, hba_text, ident, interfaces, scram_secret};

/// A login as a caller asks about it.
pub(super) struct Asked<'a> {
    pub(super) role: &'a ServerText,
    /// `None` for the current database.
    pub(super) database: Option<&'a ServerText>,
    pub(super) client: Option<IpAddr>,
    pub(super) tls: bool,
    pub(super) replication: bool,
}

const NAMES: &str = r"
SELECT n.role, quote_ident(n.role) AS role_sql, n.database, quote_ident(n.database) AS database_sql
FROM (SELECT $1 AS role, coalesce(nullif($2, ''), CASE WHEN $2 IS NULL THEN current_database()::text ELSE $1 END)
          AS database) n";

const LISTENING: &str = r"
SELECT current_setting('unix_socket_directories') <> '' AS socket,
       ARRAY(SELECT a FROM regexp_split_to_table(btrim(current_setting('listen_addresses'), ' '), ' *, *') a
             WHERE a <> '') AS addresses,
       current_setting('ssl')::boolean AS tls";

const SLOTS: &str = r"
SELECT current_setting('max_connections')::integer AS max,
       current_setting('superuser_reserved_connections')::integer AS superuser_reserved,
       coalesce(current_setting('reserved_connections', true)::integer, 0) AS reserved,
       current_setting('max_wal_senders')::integer AS max_senders,
       (SELECT count(*)::integer FROM pg_stat_get_activity(NULL) a WHERE a.backend_type = 'client backend') AS used,
       (SELECT count(*)::integer FROM pg_stat_get_activity(NULL) a WHERE a.backend_type = 'walsender') AS senders";

const ROLE: &str = r"
SELECT a.oid, a.rolcanlogin, a.rolsuper, a.rolreplication, a.rolconnlimit,
       CASE WHEN isfinite(a.rolvaliduntil)
            THEN translate(to_json(date_trunc('second', a.rolvaliduntil AT TIME ZONE 'UTC')) #>> '{}', 'T', ' ')
                || ' UTC'
            ELSE a.rolvaliduntil::text
       END AS valid_until,
       coalesce(a.rolvaliduntil < clock_timestamp(), false) AS is_expired,
       EXISTS (SELECT FROM pg_authid g
               WHERE g.rolname = 'pg_use_reserved_connections' AND pg_has_role(a.oid, g.oid, 'USAGE'))
           AS may_use_reserved
FROM pg_authid a
WHERE a.rolname = $1::name";

const GROUPS: &str = r"
WITH RECURSIVE membership (roleid) AS (
    SELECT m.roleid FROM pg_auth_members m WHERE m.member = $1
    UNION
    SELECT m.roleid FROM membership g JOIN pg_auth_members m ON m.member = g.roleid
)
SELECT a.rolname::text AS name FROM membership g JOIN pg_authid a ON a.oid = g.roleid";

/// `dathasloginevt` came with PostgreSQL 17.
const DATABASE: &str = r"
SELECT d.oid, d.datallowconn, d.datconnlimit,
       coalesce(has_database_privilege($2, d.oid, 'CONNECT'), false) AS may_connect,
       coalesce((to_jsonb(d) ->> 'dathasloginevt')::boolean, false) AS has_login_trigger
FROM pg_database d
WHERE d.datname = $1::name";

/// A database whose removal was interrupted (`DATCONNLIMIT_INVALID_DB`).
const INVALID: i32 = -2;

pub(super) fn load(
    asked: &Asked<'_>,
    proposed: Option<&ServerText>,
) -> Result<LoginFacts, ErrorReport> {
    let request = request(asked)?;
    let role = role(asked.role)?;
    let (role_oid, role) = role.unzip();
    let database = database(&request.database, role_oid)?;
    let (database_oid, database) = database.unzip();
    let applied = setting::load(role_oid, database_oid)?;
    let superuser = role.as_ref().is_some_and(|role| role.superuser);
    Ok(LoginFacts {
        listening: listening()?,
        hba: rules(proposed, &request)?,
        maps: ident::load()?,
        slots: slots()?,
        settings: setting::suspect(&applied, &request, role_oid, superuser)?,
        libraries: library::missing(&applied, &request)?,
        has_hook: has_hook(),
        major: pg_sys::PG_VERSION_NUM / 10_000,
        request,
        role,
        database,
    })
}

fn request(asked: &Asked<'_>) -> Result<LoginRequest, ErrorReport> {
    let role = Some(copy(asked.role));
    let names = query(NAMES, &[role.into(), asked.database.map(copy).into()], |row| {
        let name =
            |text, sql| Ok::<_, ErrorReport>(Name { text: row.text(text)?, sql: row.text(sql)? });
        Ok((name("role", "role_sql")?, name("database", "database_sql")?))
    })?;
    let (role, database) = one_row(names)?;
    let Asked { client, tls, replication, .. } = *asked;
    Ok(LoginRequest { role, database, client, tls, replication })
}

fn copy(text: &ServerText) -> ServerText {
    ServerText::from_bytes(text.as_bytes())
}

fn listening() -> Result<Listening, ErrorReport> {
    one_row(query(LISTENING, &[], |row| {
        Ok(Listening {
            socket: row.value("socket")?,
            addresses: row.optional_texts("addresses")?.unwrap_or_default(),
            tls: row.value("tls")?,
            interfaces: interfaces::interfaces(),
        })
    })?)
}

fn rules(proposed: Option<&ServerText>, request: &LoginRequest) -> Result<HbaState, ErrorReport> {
    let mut state = if let Some(text) = proposed {
        let mut rules = hba_text::parse_proposed(text)?;
        name_rules(&mut rules);
        HbaState { rules, error: None, is_newer: false }
    } else {
        let (file, rules) = hba::load()?;
        HbaState { rules, error: file.error, is_newer: file.is_newer }
    };
    if cfg!(not(feature = "pg15")) && state.error.is_none() {
        pattern::resolve(&mut state.rules, request)?;
    }
    Ok(state)
}

fn slots() -> Result<Slots, ErrorReport> {
    one_row(query(SLOTS, &[], |row| {
        Ok(Slots {
            max: row.value("max")?,
            used: row.value("used")?,
            superuser_reserved: row.value("superuser_reserved")?,
            reserved: row.value("reserved")?,
            max_senders: row.value("max_senders")?,
            senders: row.value("senders")?,
        })
    })?)
}

fn role(name: &ServerText) -> Result<Option<(pg_sys::Oid, LoginRole)>, ErrorReport> {
    let found = query(ROLE, &[Some(copy(name)).into()], |row| {
        let oid: pg_sys::Oid = row.value("oid")?;
        let role = LoginRole {
            can_login: row.value("rolcanlogin")?,
            superuser: row.value("rolsuper")?,
            replication: row.value("rolreplication")?,
            valid_until: row.optional_text("valid_until")?,
            is_expired: row.value("is_expired")?,
            connection_limit: row.value("rolconnlimit")?,
            // SAFETY: reads shared memory.
            connections: unsafe { pg_sys::CountUserBackends(oid) },
            groups: Vec::new(),
            may_use_reserved: row.value("may_use_reserved")?,
            secret: None,
        };
        Ok((oid, role))
    })?;
    let Some((oid, mut role)) = found.into_iter().next() else { return Ok(None) };
    role.groups = query(GROUPS, &[oid.into()], |row| row.text("name"))?;
    // From the server's cache, so that no statement returns it.
    role.secret = CatalogRole::lookup(name.as_bytes()).and_then(|role| role.secret).map(|secret| {
        let stored = scram_secret::stored_secret(&secret);
        LoginSecret {
            form: scram_secret::form(&secret),
            kind: stored.kind(),
            iterations: stored.iterations(),
            salt_len: stored.salt().map(<[u8]>::len),
        }
    });
    Ok(Some((oid, role)))
}

fn database(
    name: &Name,
    role: Option<pg_sys::Oid>,
) -> Result<Option<(pg_sys::Oid, LoginDatabase)>, ErrorReport> {
    let name = Some(ServerText::from_utf8(&name.text));
    let found = query(DATABASE, &[name.into(), role.into()], |row| {
        let oid: pg_sys::Oid = row.value("oid")?;
        let connection_limit = row.value("datconnlimit")?;
        let database = LoginDatabase {
            allows_connections: row.value("datallowconn")?,
            may_connect: row.value("may_connect")?,
            connection_limit,
            is_invalid: connection_limit == INVALID,
            // SAFETY: reads shared memory.
            connections: unsafe { pg_sys::CountDBConnections(oid) },
            has_login_trigger: row.value("has_login_trigger")?,
        };
        Ok((oid, database))
    })?;
    Ok(found.into_iter().next())
}

// src/include/libpq/auth.h, which pgrx does not bind.
unsafe extern "C" {
    static ClientAuthentication_hook: *const c_void;
}

/// Whether a library takes part in authentication.
fn has_hook() -> bool {
    // SAFETY: a pointer that libraries set when they are loaded, on this thread.
    unsafe { !ClientAuthentication_hook.is_null() }
}
