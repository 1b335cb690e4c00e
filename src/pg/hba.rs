//! pg_hba.conf: its rules, whether the server would load the file, and the connections that it decides
//! about.

mod file;

use core::ffi::c_int;
use std::cell::RefCell;
use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use password_audit::HbaRule;
use password_audit::hba::{AuthToken, Database, HbaFile, ListenConfig, redacted, shown_error};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;

use super::query::{one_row, query};
use super::text::ServerText;
use file::HbaFiles;
pub(super) use file::last_change;

const HBA_FILE: &str = "SELECT current_setting('hba_file') AS file";

/// pg_hba.conf as it is on disk, without the lines that the server cannot read. The file's name is a column
/// since PostgreSQL 16.
const HBA: &str = r"
SELECT f.file, r.line_number, regexp_replace(f.file, '.*/', '') || ':' || r.line_number AS location,
       r.auth_method, r.type, r.database, r.user_name, r.address, r.netmask, r.options
FROM pg_hba_file_rules r
CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(r) ->> 'file_name', current_setting('hba_file')) AS file) f
WHERE r.type IS NOT NULL
ORDER BY coalesce((to_jsonb(r) ->> 'rule_number')::integer, r.line_number)";

/// Lines that the server cannot read. With one of them it rejects the whole file. `type IS NULL` marks
/// such a line; `error` would not do, because hostssl lines have an error too when TLS is off.
const HBA_ERRORS: &str = r"
SELECT f.file, r.line_number, r.error, f.file <> current_setting('hba_file') AS is_included
FROM pg_hba_file_rules r
CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(r) ->> 'file_name', current_setting('hba_file')) AS file) f
WHERE r.type IS NULL
ORDER BY is_included, f.file, r.line_number";

/// Whether a file that was changed at `$1`, in microseconds since 1970, is newer than the configuration.
const IS_NEWER: &str =
    "SELECT timestamptz 'epoch' + $1 * interval '1 microsecond' > pg_conf_load_time() AS is_newer";

/// Where the server listens, and whether it offers TLS.
const LISTEN: &str = r"
SELECT current_setting('unix_socket_directories') <> '' AS socket,
       current_setting('listen_addresses') <> '' AS tcp,
       current_setting('ssl')::boolean AS tls";

/// Databases that allow connections. The query asks for the CONNECT privilege of each role only
/// where PUBLIC lacks it.
const OPEN_DATABASES: &str = r"
SELECT d.datname::text AS name, CASE WHEN NOT EXISTS (
           SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
           WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT')
       THEN ARRAY(SELECT a.rolname::text FROM pg_authid a
                  WHERE a.rolcanlogin AND has_database_privilege(a.oid, d.oid, 'CONNECT'))
       END AS open_to
FROM pg_database d
WHERE d.datallowconn";

const MEMBERSHIPS: &str = r"
SELECT a.rolname::text AS member, g.rolname::text AS group_name
FROM pg_auth_members m
JOIN pg_authid a ON a.oid = m.member
JOIN pg_authid g ON g.oid = m.roleid";

/// Keeps debug messages of the server's parser from the client until it is dropped: they come at DEBUG3, which a client
/// can ask for, and one quotes the secret of a RADIUS server.
struct DebugSilence {
    before: c_int,
}

impl DebugSilence {
    fn begin() -> Self {
        // SAFETY: on the backend's only thread. The server itself sets this variable for a while in CREATE EXTENSION.
        unsafe {
            let before = pg_sys::client_min_messages;
            pg_sys::client_min_messages = before.max(pg_sys::LOG.cast_signed());
            Self { before }
        }
    }
}

impl Drop for DebugSilence {
    fn drop(&mut self) {
        // SAFETY: as above. An error of the query unwinds through here.
        unsafe { pg_sys::client_min_messages = self.before };
    }
}

/// The state of the file, and its rules as far as the server can read them.
pub(crate) fn load() -> Result<(HbaFile, Vec<HbaRule>), ErrorReport> {
    let path: ServerText = one_row(query(HBA_FILE, &[], |row| row.value("file"))?)?;
    let name = path.to_display();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let mut files = HbaFiles::default();
    // pg_hba_file_rules raises an error where the file cannot be opened.
    if let Err(error) = files.open(path.as_bytes()) {
        let error = Some(format!("could not open the file: {error}"));
        return Ok((HbaFile { name, error, is_newer: false }, Vec::new()));
    }
    let files = RefCell::new(files);
    let quiet = DebugSilence::begin();
    let (mut rules, error) = (rules(&files)?, error(&files)?);
    drop(quiet);
    password_audit::hba::name_rules(&mut rules);
    let error = error.or_else(|| rules.is_empty().then(|| "the file has no rules".to_owned()));
    let is_newer = is_newer(files.borrow().last_change())?;
    Ok((HbaFile { name, error, is_newer }, rules))
}

/// Whether a file that was changed then is newer than the configuration that the server has loaded.
pub(crate) fn is_newer(changed: Option<SystemTime>) -> Result<bool, ErrorReport> {
    let since = changed.and_then(|changed| changed.duration_since(UNIX_EPOCH).ok());
    match since.and_then(|since| i64::try_from(since.as_micros()).ok()) {
        Some(changed) => one_row(query(IS_NEWER, &[changed.into()], |row| row.value("is_newer"))?),
        None => Ok(false),
    }
}

fn rules(files: &RefCell<HbaFiles>) -> Result<Vec<HbaRule>, ErrorReport> {
    query(HBA, &[], |row| {
        let file: ServerText = row.value("file")?;
        let line = usize::try_from(row.value::<i32>("line_number")?).unwrap_or(0);
        // The fields of a line are type, databases, users and, unless it is for sockets, the address.
        let tokens = |listed: Vec<ServerText>, field| {
            let listed =
                listed.into_iter().map(|text| (text.to_display(), text.as_bytes().to_vec()));
            let mut files = files.borrow_mut();
            AuthToken::list(listed.collect(), files.field(file.as_bytes(), line, field))
        };
        let address: Option<ServerText> = row.optional("address")?;
        Ok(HbaRule {
            location: row.text("location")?,
            method: row.text("auth_method")?,
            connection: row.text("type")?,
            databases: tokens(row.server_texts("database")?, 1),
            users: tokens(row.server_texts("user_name")?, 2),
            address: tokens(address.into_iter().collect(), 3).pop(),
            netmask: row.optional_text("netmask")?,
            options: row
                .optional_texts("options")?
                .unwrap_or_default()
                .into_iter()
                .map(redacted)
                .collect(),
            ..HbaRule::default()
        })
    })
}

/// The first line that the server cannot read, its message, and how many others there are.
fn error(files: &RefCell<HbaFiles>) -> Result<Option<String>, ErrorReport> {
    let errors = query(HBA_ERRORS, &[], |row| {
        let (file, line): (ServerText, i32) = (row.value("file")?, row.value("line_number")?);
        let is_secret = usize::try_from(line)
            .is_ok_and(|line| files.borrow_mut().has_secret(file.as_bytes(), line));
        let message = shown_error(is_secret, row.optional_text("error")?);
        let place = if row.value("is_included")? {
            format!("{}, line {line}", file.to_display())
        } else {
            format!("line {line}")
        };
        Ok(format!("{place}: {message}"))
    })?;
    Ok(match &errors[..] {
        [] => None,
        [one] => Some(one.clone()),
        [first, others @ ..] => Some(format!("{first} (and {} more lines)", others.len())),
    })
}

/// Databases that allow connections, and the roles that have the CONNECT privilege on them.
pub(crate) fn open_databases() -> Result<Vec<Database>, ErrorReport> {
    query(OPEN_DATABASES, &[], |row| {
        Ok(Database {
            name: row.text("name")?,
            open_to: row.optional_texts("open_to")?.map(HashSet::from_iter),
        })
    })
}

/// The connections to these databases that the server accepts.
pub(crate) fn listen_config(databases: Vec<Database>) -> Result<ListenConfig, ErrorReport> {
    let offered =
        query(LISTEN, &[], |row| Ok((row.value("socket")?, row.value("tcp")?, row.value("tls")?)))?;
    let (socket, tcp, tls) = one_row(offered)?;
    Ok(ListenConfig {
        databases,
        patterns: cfg!(not(feature = "pg15")),
        memberships: query(MEMBERSHIPS, &[], |row| {
            Ok((row.text("member")?, row.text("group_name")?))
        })?,
        socket,
        tcp,
        tls,
    })
}
