//! pg_ident.conf: which users of the system may log in as which roles.

use std::fs::File;

use password_audit::login::MapLine;
use pgrx::pg_sys::panic::ErrorReport;

use super::hba::{is_newer, last_change};
use super::query::{one_row, query};
use super::text::ServerText;

const IDENT_FILE: &str = "SELECT current_setting('ident_file') AS file";

const LINES: &str = r"
SELECT m.map_name AS map, m.sys_name AS system, m.pg_username AS role, m.error IS NOT NULL AS is_broken
FROM pg_ident_file_mappings m";

/// Its lines. `None` if it cannot be read or may differ from what the server has
/// loaded.
pub(crate) fn load() -> Result<Option<Vec<MapLine>>, ErrorReport> {
    let path: ServerText = one_row(query(IDENT_FILE, &[], |row| row.value("file"))?)?;
    // pg_ident_file_mappings raises an error where the file cannot be opened.
    let changed = File::open(path.to_display()).and_then(|file| file.metadata());
    let Ok(changed) = changed else { return Ok(None) };
    if is_newer(last_change(&changed))? {
        return Ok(None);
    }
    let lines = query(LINES, &[], |row| {
        if row.value("is_broken")? {
            return Ok(None);
        }
        let text = |column| Ok::<_, ErrorReport>(row.optional_text(column)?.unwrap_or_default());
        let (map, system, role) = (text("map")?, text("system")?, text("role")?);
        Ok(Some(MapLine { map, system, role }))
    })?;
    // With one bad line the server rejects the whole file.
    Ok(lines.into_iter().collect())
}
