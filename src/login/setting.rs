//! Settings of roles and databases that a login applies (`process_settings` in PostgreSQL's
//! `src/backend/utils/init/postinit.c`).

use std::ffi::CString;

use password_audit::login::{LoginRequest, SuspectSetting};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::pg::query::query;
use crate::pg::text::ServerText;

/// A stored setting, in the order in which the server applies them: the first value of a setting counts.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) value: ServerText,
    of_role: bool,
    in_database: bool,
    /// Whether this session knows the setting. It may belong to a library that is not loaded here.
    is_known: bool,
    is_current_database: bool,
}

const STORED: &str = r"
SELECT c.name, c.value, s.setrole <> 0 AS of_role, s.setdatabase <> 0 AS in_database,
       strpos(c.name, '.') = 0 OR EXISTS (SELECT FROM pg_settings k WHERE lower(k.name) = lower(c.name)) AS is_known,
       coalesce($2 = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()), false)
           AS is_current_database
FROM pg_db_role_setting s
CROSS JOIN unnest(s.setconfig) u(text)
CROSS JOIN LATERAL (SELECT split_part(u.text, '=', 1) AS name, substr(u.text, strpos(u.text, '=') + 1) AS value) c
WHERE (s.setrole = 0 OR s.setrole = $1) AND (s.setdatabase = 0 OR s.setdatabase = $2)
ORDER BY s.setrole = 0, s.setdatabase = 0, c.name";

/// Whether `$1` may become `$2` by SET ROLE; no row if there is no such role.
const MAY_BECOME: &str = if cfg!(feature = "pg15") {
    "SELECT coalesce(pg_has_role($1, a.oid, 'MEMBER'), false) AS may FROM pg_authid a WHERE a.rolname = $2::name"
} else {
    "SELECT coalesce(pg_has_role($1, a.oid, 'SET'), false) AS may FROM pg_authid a WHERE a.rolname = $2::name"
};

pub(super) fn load(
    role: Option<pg_sys::Oid>,
    database: Option<pg_sys::Oid>,
) -> Result<Vec<Stored>, ErrorReport> {
    query(STORED, &[role.into(), database.into()], |row| {
        Ok(Stored {
            name: row.text("name")?,
            value: row.value("value")?,
            of_role: row.value("of_role")?,
            in_database: row.value("in_database")?,
            is_known: row.value("is_known")?,
            is_current_database: row.value("is_current_database")?,
        })
    })
}

impl Stored {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The command that removes it.
    pub(super) fn reset(&self, request: &LoginRequest) -> String {
        let (role, database, name) = (&request.role.sql, &request.database.sql, &self.name);
        match (self.of_role, self.in_database) {
            (true, true) => format!("ALTER ROLE {role} IN DATABASE {database} RESET {name};"),
            (true, false) => format!("ALTER ROLE {role} RESET {name};"),
            (false, true) => format!("ALTER DATABASE {database} RESET {name};"),
            (false, false) => format!("ALTER ROLE ALL RESET {name};"),
        }
    }
}

/// The settings that the server would not apply. Their values are not shown.
pub(super) fn suspect(
    stored: &[Stored],
    request: &LoginRequest,
    role: Option<pg_sys::Oid>,
    superuser: bool,
) -> Result<Vec<SuspectSetting>, ErrorReport> {
    let mut found = Vec::new();
    for setting in stored {
        let reason = if setting.is("role") {
            role_refused(&setting.value, role, superuser)?
        } else {
            (!is_accepted(setting)).then(|| "the server does not accept its value".to_owned())
        };
        found.extend(reason.map(|reason| SuspectSetting {
            name: setting.name.clone(),
            remedy: setting.reset(request),
            reason,
        }));
    }
    Ok(found)
}

/// Why SET ROLE to this role would fail.
fn role_refused(
    value: &ServerText,
    login: Option<pg_sys::Oid>,
    superuser: bool,
) -> Result<Option<String>, ErrorReport> {
    if value.as_bytes() == b"none" {
        return Ok(None);
    }
    let target = Some(ServerText::from_bytes(value.as_bytes()));
    let may: Vec<bool> = query(MAY_BECOME, &[login.into(), target.into()], |row| row.value("may"))?;
    Ok(match may.first() {
        None => Some(format!("role \"{}\" does not exist", value.to_display())),
        Some(false) if !superuser => {
            Some(format!("permission denied to set role \"{}\"", value.to_display()))
        }
        Some(_) => None,
    })
}

/// Whether the server accepts the value. It asks the setting's own check, as the login would, and sets nothing.
fn is_accepted(setting: &Stored) -> bool {
    // These depend on what the other database holds.
    let is_local = setting.is("default_text_search_config");
    if !setting.is_known || is_local && !setting.is_current_database {
        return true;
    }
    let (Ok(name), Ok(value)) =
        (CString::new(setting.name.as_bytes()), CString::new(setting.value.as_bytes()))
    else {
        return true;
    };
    // SAFETY: C strings; with `changeVal` false nothing is set, and below ERROR nothing is raised.
    let result = unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_DATABASE_USER,
            pg_sys::GucAction::GUC_ACTION_SET,
            false,
            pg_sys::DEBUG5.cast_signed(),
            false,
        )
    };
    result != 0
}
