//! Compares a proposed pg_hba.conf with the one on disk.

mod catalog;

use password_audit::HbaRule;
use password_audit::hba::{AuthToken, HbaChange, TooManyChanges, compare};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Error;
use crate::pg::row_set::RowSet;
use crate::pg::statement_hiding::with_hidden_statement;
use crate::pg::text::{ServerText, Utf8};
use crate::pg::{hba, hba_text, interrupt};

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
        for rule in with_hidden_statement(|| proposed(hba))? {
            let words = |words: &[AuthToken]| {
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

/// The rules of the argument. A text may hold passwords of LDAP and RADIUS servers, so that the callers hide the
/// statement from the log.
fn proposed(hba: Option<ServerText>) -> Result<Vec<HbaRule>, ErrorReport> {
    let hba = hba.ok_or(Error::Null { argument: "hba" })?;
    Ok(hba_text::parse_proposed(&hba)?)
}

/// `scram.compare_hba(hba text) returns table (change text, roles text, database text, connection text, network text,
/// before text, after text)`
///
/// Returns the connections that a proposed text accepts, refuses or authenticates in another way than pg_hba.conf
/// does now, by role, database, kind of connection and network.
///
/// Raises the errors of [`hba_text::parse_proposed`]; 55000 for a pg_hba.conf that the server would not load; 54000
/// for a result that would not fit into memory.
#[pg_extern(sql = "
CREATE FUNCTION scram.compare_hba(hba text)
RETURNS TABLE (change text, roles text, database text, connection text, network text, before text, after text)
STABLE SECURITY DEFINER COST 100000
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'compare_hba_wrapper';
")]
pub(crate) fn compare_hba(hba: Option<ServerText>) -> RowSet<7> {
    RowSet::new(move |sink| {
        for row in with_hidden_statement(|| changes(hba))? {
            sink.push([
                row.change.as_str().into_datum(),
                Utf8(row.roles).into_datum(),
                Utf8(row.database).into_datum(),
                row.connection.into_datum(),
                row.network.into_datum(),
                Utf8(row.before).into_datum(),
                Utf8(row.after).into_datum(),
            ]);
        }
        Ok(())
    })
}

/// All of it runs with the statement hidden: a broken file and a cancel are errors too, and come after the text was
/// read.
fn changes(hba: Option<ServerText>) -> Result<Vec<HbaChange>, ErrorReport> {
    let after = proposed(hba)?;
    let before = hba_text::load_file()?;
    if hba::is_newer(before.changed)? {
        warn_newer();
    }
    let roles = catalog::login_roles()?;
    let listen = catalog::listen_config()?;
    let changes = compare(&before.rules, &after, &listen, &roles, &mut interrupt::check);
    Ok(changes.map_err(|TooManyChanges| Error::HbaChanges)?)
}

fn warn_newer() {
    let message = "pg_hba.conf was changed after the server loaded its configuration";
    let detail = "The comparison takes the file as it is now, not the rules that the server uses.";
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "")
        .set_detail(detail)
        .set_hint("Load the file first: SELECT pg_reload_conf().")
        .report(PgLogLevel::WARNING);
}
