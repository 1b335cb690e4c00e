//! Libraries that a login loads (`process_session_preload_libraries` in PostgreSQL's
//! `src/backend/utils/init/miscinit.c`), and whether it can.

use std::path::{Path, PathBuf};

use password_audit::library_names;
use password_audit::login::{LoginRequest, MissingLibrary};
use pgrx::pg_sys::panic::ErrorReport;

use super::setting::Stored;
use crate::pg::query::{one_row, query};
use crate::pg::server_settings;

/// The value of `$libdir`.
const FOLDER: &str = "SELECT s.setting AS folder FROM pg_config() s WHERE s.name = 'PKGLIBDIR'";

pub(super) fn missing(
    stored: &[Stored],
    request: &LoginRequest,
) -> Result<Vec<MissingLibrary>, ErrorReport> {
    let folder = one_row(query(FOLDER, &[], |row| row.text("folder"))?)?;
    let server = server_settings::load(&[
        "dynamic_library_path",
        "local_preload_libraries",
        "session_preload_libraries",
    ])?;
    let value_of = |name: &str| {
        let found = server.iter().find(|(setting, _)| setting == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let stored_path = stored.iter().find(|setting| setting.is("dynamic_library_path"));
    let search = Search {
        folder,
        path: stored_path
            .map_or_else(|| value_of("dynamic_library_path"), |found| found.value.to_display()),
    };
    let mut found = Vec::new();
    for (setting, is_local) in
        [("session_preload_libraries", false), ("local_preload_libraries", true)]
    {
        let own = stored.iter().find(|stored| stored.is(setting));
        let value = own.map_or_else(|| value_of(setting), |own| own.value.to_display());
        for library in library_names(&value) {
            let library = if is_local && !library.contains('/') {
                format!("$libdir/plugins/{library}")
            } else {
                library
            };
            let is_forbidden = is_local && !is_plugin(&library);
            if is_forbidden || !search.finds(&library) {
                let remedy = match own {
                    Some(own) => own.reset(request),
                    None => format!("ALTER SYSTEM RESET {setting}; SELECT pg_reload_conf();"),
                };
                found.push(MissingLibrary { setting, library, is_forbidden, remedy });
            }
        }
    }
    Ok(found)
}

/// Whether any role may load it: `check_restricted_library_name` in PostgreSQL's
/// `src/backend/utils/fmgr/dfmgr.c`.
fn is_plugin(library: &str) -> bool {
    library.strip_prefix("$libdir/plugins/").is_some_and(|name| !name.contains('/'))
}

/// Where the server looks for libraries.
struct Search {
    /// The value of `$libdir`.
    folder: String,
    /// `dynamic_library_path`.
    path: String,
}

impl Search {
    /// `expand_dynamic_library_name` in PostgreSQL's `src/backend/utils/fmgr/dfmgr.c`.
    fn finds(&self, library: &str) -> bool {
        let is_there = |path: PathBuf| {
            let with_suffix = PathBuf::from(format!("{}.so", path.display()));
            [path, with_suffix].iter().any(|path| path.exists() && !path.is_dir())
        };
        if library.contains('/') {
            return is_there(self.expanded(library));
        }
        self.path.split(':').any(|folder| is_there(self.expanded(folder).join(library)))
    }

    fn expanded(&self, path: &str) -> PathBuf {
        match path.strip_prefix("$libdir") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Path::new(&format!("{}{rest}", self.folder)).to_owned()
            }
            _ => PathBuf::from(path),
        }
    }
}
