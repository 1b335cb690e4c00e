//! What a change of pg_hba.conf does.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use password_audit::HbaRule;

use crate::error::Error;
use crate::pg::hba_text;
use crate::pg::row_set::RowSet;
use crate::pg::statement_hiding::with_hidden_statement;
use crate::pg::text::{ServerText, Utf8};

/// `scram_internal.read_hba(hba text) returns table (place text, type text, database text[], user_name text[],
/// address text, netmask text, auth_method text)`
///
/// Returns the rules of a proposed text as `pg_hba_file_rules` returns those of the file. A keyword in quotes comes
/// with them. `place` is a line, or file and line.
///
/// Raises the errors of [`hba_text::parse_proposed`].
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.read_hba(hba text)
RETURNS TABLE (place text, type text, database text[], user_name text[], address text, netmask text, auth_method text)
STABLE
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'read_hba_wrapper';
")]
pub(crate) fn read_hba(hba: Option<ServerText>) -> RowSet<7> {
    RowSet::new(move |sink| {
        for rule in proposed(hba)? {
            let words = |words: &[password_audit::hba::AuthToken]| {
                words.iter().map(ToString::to_string).map(Utf8).collect::<Vec<_>>().into_datum()
            };
            sink.push([
                Utf8(rule.location).into_datum(),
                rule.connection.into_datum(),
                words(&rule.databases),
                words(&rule.users),
                rule.address.and_then(|address| Utf8(address.text).into_datum()),
                rule.netmask.into_datum(),
                rule.method.into_datum(),
            ]);
        }
        Ok(())
    })
}

/// The rules of the argument. A text may hold passwords of LDAP and RADIUS servers, so that the statement of an
/// error stays out of the log.
fn proposed(hba: Option<ServerText>) -> Result<Vec<HbaRule>, ErrorReport> {
    with_hidden_statement(|| {
        let hba = hba.ok_or(Error::Null { argument: "hba" })?;
        Ok(hba_text::parse_proposed(&hba)?)
    })
}
