//! Reads what the audit looks at out of the catalogs.
//!
//! Called inside SECURITY DEFINER functions with a pinned search_path only. No query's text holds a
//! secret, and none is passed as a parameter: statement loggers write both down.

use password_audit::{
    FirstSeen, Origin, Policy, RoleFacts, ServerConfig, Subject, ValidUntil, secret_digest,
};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::keys::HmacKey;

use super::hash_paths;
use crate::cluster_keys::{ClusterKeys, Purpose};
use crate::guc;
use crate::pg::hba;
use crate::pg::query::{one_row, query};
use crate::pg::scram_secret;
use crate::pg::server_settings;
use crate::pg::text::ServerText;

/// One row for each role, with the facts that the rules need. `$1`: digests of the secrets whose roles are
/// wanted; NULL stands for all roles.
///
/// The query compares times, because the core has no clock. It leaves infinite times out of the
/// subtraction, which PostgreSQL refuses.
///
/// It asks for privileges only of roles that can have them: of members of a role, and of those that a grant
/// names. The owner of the database is a member of pg_database_owner, although no row says so. For each role
/// that is asked about, the server collects its memberships, which takes 50 µs.
const ROLES: &str = r"
WITH grantee AS MATERIALIZED (
    SELECT c.oid::regclass AS relation, unnest(array_agg(g.grantee) || c.relowner) AS role
    FROM pg_class c
    LEFT JOIN LATERAL (
        SELECT x.grantee FROM aclexplode(c.relacl) x WHERE x.privilege_type = 'SELECT'
        UNION ALL
        SELECT x.grantee
        FROM pg_attribute t
        CROSS JOIN aclexplode(t.attacl) x
        WHERE t.attrelid = c.oid AND x.privilege_type = 'SELECT'
            AND (t.attname IN ('rolpassword', 'passwd') OR c.relnamespace <> 'pg_catalog'::regnamespace)
    ) g ON true
    WHERE c.oid IN ('pg_authid'::regclass, 'pg_shadow'::regclass, 'scram_internal.password_history'::regclass,
                    'scram_internal.stored_secret'::regclass)
    GROUP BY c.oid, c.relowner
), way AS MATERIALIZED (
    SELECT 'SELECT on ' || g.relation AS access, g.role FROM grantee g WHERE g.role IS NOT NULL
    UNION ALL
    SELECT 'member of pg_read_all_data', t.member FROM pg_auth_members t WHERE t.roleid = 'pg_read_all_data'::regrole
), reader AS MATERIALIZED (
    SELECT o.oid, o.rolname
    FROM pg_authid o
    WHERE o.oid IN (SELECT g.role FROM grantee g)
      AND (o.rolsuper
           OR has_column_privilege(o.oid, 'pg_authid', 'rolpassword', 'SELECT')
           OR has_column_privilege(o.oid, 'pg_shadow', 'passwd', 'SELECT')
           OR has_any_column_privilege(o.oid, 'scram_internal.password_history'::regclass, 'SELECT')
           OR has_any_column_privilege(o.oid, 'scram_internal.stored_secret'::regclass, 'SELECT'))
)
SELECT a.rolname::text AS name,
       a.rolpassword AS secret,
       a.rolcanlogin,
       CASE WHEN isfinite(a.rolvaliduntil)
            THEN floor(extract(epoch FROM a.rolvaliduntil - statement_timestamp()) / 60)::bigint
            WHEN a.rolvaliduntil = '-infinity' THEN -1
       END AS valid_minutes,
       CASE WHEN isfinite(a.rolvaliduntil)
            THEN translate(to_json(date_trunc('second', a.rolvaliduntil AT TIME ZONE 'UTC')) #>> '{}', 'T', ' ')
                || ' UTC'
            ELSE a.rolvaliduntil::text
       END AS valid_until,
       (SELECT string_agg(c || coalesce(' in database ' || quote_ident(d.datname), ''), '; '
                          ORDER BY d.datname NULLS FIRST, c)
        FROM pg_db_role_setting s
        CROSS JOIN unnest(s.setconfig) c
        LEFT JOIN pg_database d ON d.oid = s.setdatabase
        WHERE s.setrole = a.oid
          AND lower(split_part(c, '=', 1)) IN ('password_encryption', 'scram_iterations')) AS overrides,
       -- Where another role has the right, or PUBLIC, a REVOKE from this one would change nothing.
       CASE WHEN access.found IS NOT NULL THEN access.found || CASE
           WHEN EXISTS (SELECT FROM way w WHERE w.access = access.found AND w.role = a.oid) THEN ''
           ELSE coalesce((SELECT ' through ' || min(CASE WHEN w.role = 0 THEN 'PUBLIC' ELSE quote_ident(g.rolname) END)
                          FROM way w
                          LEFT JOIN pg_authid g ON g.oid = w.role
                          WHERE w.access = access.found
                              AND CASE WHEN w.role = 0 THEN true
                                       WHEN access.found LIKE 'member of%' THEN pg_has_role(a.oid, w.role, 'MEMBER')
                                       ELSE pg_has_role(a.oid, w.role, 'USAGE') END), '')
       END END AS hash_access,
       a.oid,
       s.digest,
       floor(extract(epoch FROM statement_timestamp() - s.first_seen) / 60)::bigint AS seen_minutes,
       translate(to_json(date_trunc('second', s.first_seen AT TIME ZONE 'UTC')) #>> '{}', 'T', ' ') || ' UTC'
           AS seen_at,
       a.rolreplication, a.rolsuper,
       array_remove(ARRAY[
           CASE WHEN a.rolsuper THEN 'SUPERUSER' END,
           CASE WHEN a.rolreplication THEN 'REPLICATION' END,
           CASE WHEN a.rolcreaterole AND NOT a.rolsuper THEN 'CREATEROLE' END,
           CASE WHEN a.rolbypassrls AND NOT a.rolsuper THEN 'BYPASSRLS' END,
           (SELECT 'membership in ' || string_agg(g.rolname, ', ' ORDER BY g.rolname)
            FROM pg_authid g
            WHERE g.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
                AND m.is_member AND NOT a.rolsuper AND a.oid <> g.oid AND pg_has_role(a.oid, g.oid, 'MEMBER')),
           (SELECT CASE WHEN count(*) > 1 THEN format('ownership of %s databases', count(*))
                        ELSE 'ownership of database ' || min(quote_ident(d.datname)) END
            FROM pg_database d
            WHERE d.datdba = a.oid AND NOT a.rolsuper
            HAVING count(*) > 0)
       ], NULL) AS powers
FROM pg_authid a
CROSS JOIN LATERAL (
    SELECT a.oid IN (SELECT t.member FROM pg_auth_members t)
        OR a.oid = (SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()) AS is_member
) m
CROSS JOIN LATERAL (
    SELECT CASE WHEN a.rolsuper OR a.oid < 16384
                OR NOT m.is_member AND a.oid NOT IN (SELECT g.role FROM grantee g WHERE g.role IS NOT NULL)
                    AND NOT EXISTS (SELECT FROM grantee g WHERE g.role = 0)
            THEN NULL
            WHEN pg_has_role(a.oid, 'pg_read_all_data', 'MEMBER') THEN 'member of pg_read_all_data'
            WHEN has_column_privilege(a.oid, 'pg_authid', 'rolpassword', 'SELECT')
            THEN 'SELECT on pg_authid'
            WHEN has_column_privilege(a.oid, 'pg_shadow', 'passwd', 'SELECT')
            THEN 'SELECT on pg_shadow'
            WHEN has_any_column_privilege(a.oid, 'scram_internal.password_history'::regclass, 'SELECT')
            THEN 'SELECT on scram_internal.password_history'
            WHEN has_any_column_privilege(a.oid, 'scram_internal.stored_secret'::regclass, 'SELECT')
            THEN 'SELECT on scram_internal.stored_secret'
            -- A role without INHERIT gets there by SET ROLE. From 16 on a membership can forbid that.
            ELSE (SELECT format('SET ROLE %I', min(o.rolname))
                  FROM reader o
                  WHERE pg_has_role(a.oid, o.oid, CASE WHEN current_setting('server_version_num')::integer < 160000
                                                       THEN 'MEMBER' ELSE 'SET' END)
                  HAVING count(*) > 0)
       END AS found
    OFFSET 0 -- Otherwise the planner would copy the expression to each place that uses it.
) access
LEFT JOIN scram_internal.role_secret s ON s.role = a.oid
WHERE $1 IS NULL OR s.digest = ANY ($1)
ORDER BY a.rolname";

/// Roles with LOGIN, with what the rules of pg_hba.conf ask about them.
const LOGINS: &str = r"
SELECT a.rolname::text AS name, a.oid, a.rolreplication, a.rolsuper
FROM pg_authid a
WHERE a.rolcanlogin
ORDER BY a.rolname";

/// Settings that rules look at.
const SETTINGS: [&str; 14] = [
    "auto_explain.log_min_duration",
    "debug_print_parse",
    "debug_print_plan",
    "debug_print_rewritten",
    "log_min_duration_sample",
    "log_min_duration_statement",
    "log_statement",
    "log_transaction_sample_rate",
    "password_encryption",
    "pg_stat_statements.track_utility",
    "pgaudit.log",
    "scram.guard",
    "session_preload_libraries",
    "shared_preload_libraries",
];

/// Settings of a database or of all roles that decide how passwords are stored.
const OVERRIDES: &str = r"
SELECT coalesce('database ' || quote_ident(d.datname), 'all roles') AS owner,
       string_agg(c, '; ' ORDER BY c) AS setting
FROM pg_db_role_setting s
CROSS JOIN unnest(s.setconfig) c
LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE s.setrole = 0
  AND lower(split_part(c, '=', 1)) IN ('password_encryption', 'scram_iterations')
GROUP BY d.datname
ORDER BY d.datname NULLS FIRST";

/// The current year.
const YEAR: &str = "SELECT extract(year FROM statement_timestamp())::integer AS year";

/// Names that passwords are made of, the host's apart.
const DATABASES: &str = "SELECT d.datname::text AS name FROM pg_database d WHERE NOT d.datistemplate ORDER BY d.datname";

/// Roles of the cluster, by name.
pub(super) struct Roles {
    /// The OID of each.
    pub(super) oids: Vec<pg_sys::Oid>,
    pub(super) subjects: Vec<Subject>,
}

/// The server and every role of the cluster, and which role meets which rule of pg_hba.conf.
pub(super) fn cluster() -> Result<(ServerConfig, Roles), ErrorReport> {
    let mut roles = roles(None)?;
    Ok((joined(&mut roles.subjects)?, roles))
}

/// The server, and which of its rules which roles meet. Reads no secret.
pub(super) fn server() -> Result<ServerConfig, ErrorReport> {
    let mut logins = query(LOGINS, &[], |row| {
        let (name, oid): (ServerText, _) = (row.value("name")?, row.value("oid")?);
        let role = RoleFacts::of_login(row.value("rolreplication")?, row.value("rolsuper")?);
        Ok(Subject {
            name: shown(&name, oid),
            name_bytes: name.as_bytes().to_vec(),
            origin: Origin::Role(role),
            secret: None,
        })
    })?;
    joined(&mut logins)
}

/// The server, joined with these roles.
fn joined(roles: &mut [Subject]) -> Result<ServerConfig, ErrorReport> {
    let mut server = config()?;
    if server.hba_file.error.is_none() {
        password_audit::hba::join(&mut server, roles, &hba::listen_config(hba::open_databases()?)?);
    }
    Ok(server)
}

/// A role's name as findings show it. One that is no text in this database's encoding becomes its bytes and its
/// OID, which is longer than any name, so that it cannot be mistaken for another role's.
fn shown(name: &ServerText, oid: pg_sys::Oid) -> String {
    name.to_utf8().unwrap_or_else(|| {
        let bytes = name.to_display();
        format!("{bytes} (oid {oid}; the name is in another encoding than this database)")
    })
}

/// The settings and rules of this server.
fn config() -> Result<ServerConfig, ErrorReport> {
    let (hba_file, hba) = hba::load()?;
    Ok(ServerConfig {
        overrides: query(OVERRIDES, &[], |row| Ok((row.text("owner")?, row.text("setting")?)))?,
        hash_paths: hash_paths::load()?,
        hba,
        hba_file,
        settings: server_settings::load(&SETTINGS)?,
    })
}

/// The measures of the checks: the settings, the names of this server, and the year.
pub(super) fn policy() -> Result<Policy, ErrorReport> {
    let year = one_row(query(YEAR, &[], |row| row.value("year"))?)?;
    let mut names = query(DATABASES, &[], |row| row.text("name"))?;
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    // "db1" of "db1.example.com" too.
    names.extend(host.split_once('.').map(|(first, _)| first.to_owned()));
    names.push(host);
    names.retain(|name| !name.is_empty());
    Ok(guc::policy(names, year))
}

/// The key of the digests that tell whether something was tried before. Another one after initdb:
/// then everything is tried again.
pub(super) fn digest_key() -> HmacKey {
    HmacKey::new(&ClusterKeys::load().key(Purpose::AuditDigest))
}

/// The roles with these secrets, as far as they still have them; `None`: every role.
pub(super) fn roles(digests: Option<Vec<i64>>) -> Result<Roles, ErrorReport> {
    let key = digest_key();
    let found = query(ROLES, &[digests.into()], |row| {
        let name: ServerText = row.value("name")?;
        let secret: Option<ServerText> = row.optional("secret")?;
        let valid_until = match row.optional("valid_minutes")? {
            Some(minutes) => ValidUntil::At { minutes, text: row.text("valid_until")? },
            None => ValidUntil::Never,
        };
        let oid: pg_sys::Oid = row.value("oid")?;
        let role = RoleFacts {
            can_login: row.value("rolcanlogin")?,
            first_seen: None,
            hba_rules: None,
            powers: row.optional_texts("powers")?.unwrap_or_default(),
            replication: row.value("rolreplication")?,
            superuser: row.value("rolsuper")?,
            valid_until,
            overrides: row.optional_text("overrides")?,
            hash_access: row.optional_text("hash_access")?,
        };
        let mut subject = Subject {
            name: shown(&name, oid),
            name_bytes: name.as_bytes().to_vec(),
            origin: Origin::Role(role.clone()),
            secret: secret.map(|secret| scram_secret::stored_secret(&secret)),
        };
        let known: Option<i64> = row.optional("digest")?;
        if known.is_some() && known == digest(&key, &subject) {
            let (minutes, text) = (row.value("seen_minutes")?, row.text("seen_at")?);
            let first_seen = Some(FirstSeen { minutes, text });
            subject.origin = Origin::Role(RoleFacts { first_seen, ..role });
        }
        Ok((oid, subject))
    })?;
    let (oids, subjects) = found.into_iter().unzip();
    Ok(Roles { oids, subjects })
}

/// The digest of a subject's secret as it is stored: as much as tells one secret from another.
pub(super) fn digest(key: &HmacKey, subject: &Subject) -> Option<i64> {
    Some(super::scan::first_bytes(secret_digest(key, subject)?.as_bytes()))
}
