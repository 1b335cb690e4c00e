//! Reads what the audit looks at out of the catalogs.
//!
//! Called inside SECURITY DEFINER functions with a pinned search_path only. No query's text holds a
//! secret, and none is passed as a parameter: statement loggers write both down.

use password_audit::hba::{self, Database, ListenConfig};
use password_audit::{
    FirstSeen, HbaRule, Origin, Policy, RoleFacts, ServerConfig, Subject, ValidUntil, secret_digest,
};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use scram_core::keys::Key;

use crate::cluster_keys::{ClusterKeys, Purpose};
use crate::guc;
use crate::pg::query::{TextColumn, rows, text, texts};
use crate::pg::scram_secret;
use crate::pg::text::ServerText;

/// One row a role, with what the rules need to know of it. `$1` is the names, NULL for all.
///
/// Times are compared here: the core has no clock. An infinite one can't be subtracted.
const ROLES: &str = r"
SELECT a.rolname::text,
       a.rolpassword,
       a.rolcanlogin,
       CASE WHEN isfinite(a.rolvaliduntil)
            THEN floor(extract(epoch FROM a.rolvaliduntil - statement_timestamp()) / 60)::bigint
            WHEN a.rolvaliduntil = '-infinity' THEN -1
       END,
       CASE WHEN isfinite(a.rolvaliduntil)
            THEN translate(to_json(date_trunc('second', a.rolvaliduntil AT TIME ZONE 'UTC')) #>> '{}', 'T', ' ')
                || ' UTC'
            ELSE a.rolvaliduntil::text
       END,
       (SELECT string_agg(c || coalesce(' in database ' || quote_ident(d.datname), ''), '; '
                          ORDER BY d.datname NULLS FIRST, c)
        FROM pg_db_role_setting s
        CROSS JOIN unnest(s.setconfig) c
        LEFT JOIN pg_database d ON d.oid = s.setdatabase
        WHERE s.setrole = a.oid
          AND lower(split_part(c, '=', 1)) IN ('password_encryption', 'scram_iterations')),
       CASE WHEN a.rolsuper OR a.oid < 16384 THEN NULL
            WHEN pg_has_role(a.oid, 'pg_read_all_data', 'MEMBER') THEN 'member of pg_read_all_data'
            WHEN has_column_privilege(a.oid, 'pg_authid', 'rolpassword', 'SELECT')
            THEN 'SELECT on pg_authid'
            WHEN has_column_privilege(a.oid, 'pg_shadow', 'passwd', 'SELECT')
            THEN 'SELECT on pg_shadow'
            WHEN has_any_column_privilege(a.oid, 'scram.password_history'::regclass, 'SELECT')
            THEN 'SELECT on scram.password_history'
            WHEN has_any_column_privilege(a.oid, 'scram.audit_secret'::regclass, 'SELECT')
            THEN 'SELECT on scram.audit_secret'
       END,
       a.oid,
       t.digest,
       floor(extract(epoch FROM statement_timestamp() - t.first_seen) / 60)::bigint,
       translate(to_json(date_trunc('second', t.first_seen AT TIME ZONE 'UTC')) #>> '{}', 'T', ' ') || ' UTC',
       a.rolreplication
FROM pg_authid a
LEFT JOIN scram.audit_secret t ON t.source = 'role' AND t.subject = a.rolname
WHERE $1 IS NULL OR a.rolname = ANY ($1)
ORDER BY a.rolname";

/// Settings that rules look at. One that this server doesn't have is no row.
const SETTINGS: &str = r"
SELECT name, setting
FROM pg_settings
WHERE name IN ('auto_explain.log_min_duration', 'debug_print_parse', 'debug_print_plan',
               'debug_print_rewritten', 'log_min_duration_sample', 'log_min_duration_statement', 'log_statement',
               'log_transaction_sample_rate', 'password_encryption',
               'pg_stat_statements.track_utility', 'pgaudit.log')";

/// pg_hba.conf as it is on disk. The file's name is a column since PostgreSQL 16.
const HBA: &str = r"
SELECT regexp_replace(coalesce(to_jsonb(r) ->> 'file_name', current_setting('hba_file')),
                      '.*/', '') || ':' || r.line_number,
       concat_ws(' ', r.type, array_to_string(r.database, ','), array_to_string(r.user_name, ','),
                 r.address, CASE WHEN r.netmask NOT IN ('255.255.255.255',
                                 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff') THEN r.netmask END),
       r.auth_method, r.type, r.database, r.user_name, r.address, r.netmask,
       coalesce(array_to_string(r.options, ' ') LIKE '%clientcert=%', false)
FROM pg_hba_file_rules r
WHERE r.type IS NOT NULL
ORDER BY coalesce((to_jsonb(r) ->> 'rule_number')::integer, r.line_number)";

/// Whether the file is as the server took it, or would: one line that it can't read, and it takes
/// nothing. A line that can't match for want of TLS is read, and has an error all the same.
const HBA_IS_VALID: &str =
    "SELECT NOT EXISTS (SELECT FROM pg_hba_file_rules r WHERE r.type IS NULL)";

/// Where the server listens, and whether it offers TLS.
const DOORS: &str = r"
SELECT current_setting('unix_socket_directories') <> '', current_setting('listen_addresses') <> '',
       current_setting('ssl')::boolean";

/// Databases that allow connections. Who has CONNECT is asked role by role only where PUBLIC doesn't.
const OPEN_DATABASES: &str = r"
SELECT d.datname::text, CASE WHEN NOT EXISTS (
           SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
           WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT')
       THEN ARRAY(SELECT a.rolname::text FROM pg_authid a
                  WHERE a.rolcanlogin AND has_database_privilege(a.oid, d.oid, 'CONNECT'))
       END
FROM pg_database d
WHERE d.datallowconn";

const MEMBERSHIPS: &str = r"
SELECT a.rolname::text, g.rolname::text
FROM pg_auth_members m
JOIN pg_authid a ON a.oid = m.member
JOIN pg_authid g ON g.oid = m.roleid";

/// Settings of a database or of all roles that decide how passwords are stored.
const OVERRIDES: &str = r"
SELECT coalesce('database ' || quote_ident(d.datname), 'all roles'), string_agg(c, '; ' ORDER BY c)
FROM pg_db_role_setting s
CROSS JOIN unnest(s.setconfig) c
LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE s.setrole = 0
  AND lower(split_part(c, '=', 1)) IN ('password_encryption', 'scram_iterations')
GROUP BY d.datname
ORDER BY d.datname NULLS FIRST";

/// The current year.
const YEAR: &str = "SELECT extract(year FROM statement_timestamp())::integer";

/// Names that passwords are made of, the host's apart.
const DATABASES: &str =
    "SELECT d.datname::text FROM pg_database d WHERE NOT d.datistemplate ORDER BY d.datname";

/// The server and every role of the cluster, and who meets which rule of pg_hba.conf.
pub(super) fn cluster() -> Result<(ServerConfig, Vec<Subject>), ErrorReport> {
    let (mut server, mut subjects) = (server()?, roles()?);
    let valid = rows(HBA_IS_VALID, &[], |row| row.get::<bool>(1))?.pop().flatten();
    if valid == Some(true) {
        hba::join(&mut server, &mut subjects, &doors()?);
    }
    Ok((server, subjects))
}

/// Every role of the cluster, by name.
pub(super) fn roles() -> Result<Vec<Subject>, ErrorReport> {
    subjects(None)
}

/// The roles of these names, as they are shown.
pub(super) fn roles_named(names: &[String]) -> Result<Vec<Subject>, ErrorReport> {
    if names.iter().any(|name| name.chars().count() > MAX_NAME_LEN) {
        let mut all = roles()?;
        all.retain(|subject| names.contains(&subject.name));
        return Ok(all);
    }
    subjects(Some(server_texts(names)))
}

/// No role's name has more characters.
const MAX_NAME_LEN: usize = pg_sys::NAMEDATALEN as usize - 1;

/// How a role's name is shown that isn't text in this database's encoding: by its bytes and its OID.
/// Longer than any name, so that it can't be mistaken for another role's.
fn foreign_name(name: &ServerText, oid: pg_sys::Oid) -> String {
    format!("{} (oid {oid}; the name is in another encoding than this database)", name.name())
}

/// The settings and rules of this server.
fn server() -> Result<ServerConfig, ErrorReport> {
    Ok(ServerConfig {
        overrides: rows(OVERRIDES, &[], |row| {
            Ok((text(&row, 1)?.unwrap_or_default(), text(&row, 2)?.unwrap_or_default()))
        })?,
        hba: rows(HBA, &[], |row| {
            Ok(HbaRule {
                location: text(&row, 1)?.unwrap_or_default(),
                reach: text(&row, 2)?.unwrap_or_default(),
                method: text(&row, 3)?.unwrap_or_default(),
                connection: text(&row, 4)?.unwrap_or_default(),
                databases: texts(&row, 5)?.unwrap_or_default(),
                users: texts(&row, 6)?.unwrap_or_default(),
                address: text(&row, 7)?,
                netmask: text(&row, 8)?,
                certificate: row.get(9)?.unwrap_or_default(),
                roles: hba::Matches::Unknown,
            })
        })?,
        settings: rows(SETTINGS, &[], |row| {
            Ok((text(&row, 1)?.unwrap_or_default(), text(&row, 2)?.unwrap_or_default()))
        })?,
    })
}

fn doors() -> Result<ListenConfig, ErrorReport> {
    let open = rows(DOORS, &[], |row| {
        let open = |column| row.get::<bool>(column).map(Option::unwrap_or_default);
        Ok((open(1)?, open(2)?, open(3)?))
    })?;
    let (socket, tcp, tls) = open.first().copied().unwrap_or_default();
    Ok(ListenConfig {
        databases: rows(OPEN_DATABASES, &[], |row| {
            Ok(Database {
                name: text(&row, 1)?.unwrap_or_default(),
                open_to: texts(&row, 2)?.map(|roles| roles.into_iter().collect()),
            })
        })?,
        memberships: rows(MEMBERSHIPS, &[], |row| {
            Ok((text(&row, 1)?.unwrap_or_default(), text(&row, 2)?.unwrap_or_default()))
        })?,
        socket,
        tcp,
        tls,
    })
}

/// What the checks measure by.
pub(super) fn policy() -> Result<Policy, ErrorReport> {
    let year = rows(YEAR, &[], |row| row.get(1))?.pop().flatten();
    let mut names: Vec<String> =
        rows(DATABASES, &[], |row| text(&row, 1))?.into_iter().flatten().collect();
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    // "db1" of "db1.example.com" too.
    names.extend(host.split_once('.').map(|(first, _)| first.to_owned()));
    names.push(host);
    names.retain(|name| !name.is_empty());
    Ok(Policy {
        client_max_iterations: guc::client_max_iterations(),
        expiry_warning: guc::expiry_warning(),
        max_iterations: guc::max_iterations(),
        min_iterations: guc::min_iterations(),
        mock_iterations: mock_iterations(),
        names,
        max_password_age: guc::max_password_age(),
        salt_len: guc::salt_length(),
        server_iterations: guc::server_iterations(),
        year: year.unwrap_or_default(),
    })
}

/// The count that the server answers with for a role that does not exist: a constant in PostgreSQL
/// 15, the server's own since (`scram_init_secret`'s mock in src/backend/libpq/auth-scram.c).
fn mock_iterations() -> i32 {
    if cfg!(feature = "pg15") { 4096 } else { guc::server_iterations() }
}

/// The key of the digests that tell whether something was tried before. Another one after initdb:
/// then everything is tried again.
pub(super) fn digest_key() -> Key {
    ClusterKeys::of_this_cluster().key(Purpose::AuditDigest)
}

fn subjects(names: Option<Vec<TextColumn>>) -> Result<Vec<Subject>, ErrorReport> {
    let key = digest_key();
    let mut subjects: Vec<Subject> = Vec::new();
    let found = rows(ROLES, &[names.into()], |row| {
        let name = row.get::<TextColumn>(1)?;
        let secret = row.get::<TextColumn>(2)?;
        let text_until = text(&row, 5)?;
        let role = RoleFacts {
            can_login: row.get(3)?.unwrap_or_default(),
            first_seen: None,
            hba_rules: None,
            replication: row.get(12)?.unwrap_or_default(),
            valid_until: row
                .get(4)?
                .zip(text_until)
                .map_or(ValidUntil::Never, |(minutes, text)| ValidUntil::At { minutes, text }),
            overrides: text(&row, 6)?,
            hash_access: text(&row, 7)?,
        };
        let mut subject = Subject {
            name: match &name {
                Some(name) => name.0.text().map_or_else(
                    || row.get(8).map(|oid| foreign_name(&name.0, oid.unwrap_or_default())),
                    Ok,
                )?,
                None => String::new(),
            },
            name_bytes: name.map(|name| name.0.as_bytes().to_vec()).unwrap_or_default(),
            origin: Origin::Role(role),
            secret: secret.map(|secret| scram_secret::stored_secret(&secret.0)),
        };
        let known = row.get::<Vec<u8>>(9)?.zip(row.get(10)?).zip(text(&row, 11)?);
        if let Some(((digest, minutes), text)) = known
            && self::digest(&key, &subject) == Some(digest)
            && let Origin::Role(role) = &mut subject.origin
        {
            role.first_seen = Some(FirstSeen { minutes, text });
        }
        Ok(subject)
    })?;
    // A role has one secret; what is remembered of an earlier one made a second row.
    for subject in found {
        match subjects.last_mut() {
            Some(last) if last.name_bytes == subject.name_bytes => {
                let seen = subject.role().is_some_and(|role| role.first_seen.is_some());
                if seen {
                    *last = subject;
                }
            }
            _ => subjects.push(subject),
        }
    }
    Ok(subjects)
}

/// The digest of a subject's secret as it is stored: as much as tells one secret from another.
pub(super) fn digest(key: &Key, subject: &Subject) -> Option<Vec<u8>> {
    const LEN: usize = 16;

    secret_digest(key, subject)?.as_bytes().get(..LEN).map(<[u8]>::to_vec)
}

pub(super) fn server_texts(names: &[String]) -> Vec<TextColumn> {
    names.iter().map(|name| TextColumn(ServerText::from_utf8(name))).collect()
}
