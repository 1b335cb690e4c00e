//! A fleet: runs, findings and counts of other clusters' audits, collected over foreign servers of postgres_fdw.
//!
//! Connections are made with the rights and user mappings of the caller; what they bring is stored as the extension's
//! owner, by `sql/schema/fleet.sql`, which checks its types. Nothing that a server sends is run.

mod collect;
mod digests;
mod json;
mod query;

use std::ffi::CString;

use pgrx::PgMemoryContexts;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Error;
use crate::guc;
use crate::pg::caller;
use crate::pg::foreign_server::{ConnectionParameters, connection_parameters};
use crate::pg::libpq::Libpq;
use crate::pg::read_only;
use crate::pg::row_set::RowSet;
use crate::pg::security_context::{TableName, as_owner};
use crate::pg::text::ServerText;
use collect::{Answer, collect, own_parameters};
use json::has_short_numbers;

/// `scram.fleet_refresh() returns table (name text, last_seen timestamptz, error text)`
///
/// Asks each server in `scram.fleet_server` for its runs, findings and counts, and stores the answers. A server that
/// cannot be reached, takes longer than `scram.fleet_timeout` or sends something else has an error in its row, and
/// keeps what it sent before.
///
/// Raises 55000 where postgres_fdw is missing, 25006 where nothing can be stored, and 42501 within a SECURITY DEFINER
/// function or a maintenance command, because the connections are made as the current user.
#[pg_extern(sql = "
CREATE FUNCTION scram.fleet_refresh() RETURNS TABLE (name text, last_seen timestamptz, error text)
VOLATILE COST 100000
SET search_path = pg_catalog, pg_temp
-- Any user may have plans sent to the client, and plans hold the names of subjects as constants.
SET debug_print_parse = off
SET debug_print_rewritten = off
SET debug_print_plan = off
LANGUAGE c AS 'MODULE_PATHNAME', 'fleet_refresh_wrapper';
")]
fn fleet_refresh() -> RowSet<3> {
    RowSet::new(|sink| {
        if let Some(place) = read_only::place() {
            return Err(Error::FleetReadOnly { place }.into());
        }
        if !caller::asked_for_it() {
            return Err(Error::Restricted { function: "scram.fleet_refresh" }.into());
        }
        // A second refresh waits, because two that store in another order would wait for each other.
        as_owner(OWNED, LOCK, &[], |_| Ok(()))?;
        refresh(servers()?)?;
        as_owner(OWNED, "SELECT scram_internal.mark_fleet_copies()", &[], |_| Ok(()))?;
        for (name, last_seen, error) in states()? {
            sink.push([name.into_datum(), last_seen.into_datum(), error.into_datum()]);
        }
        Ok(())
    })
}

/// A row of the result.
type State = (ServerText, Option<TimestampWithTimeZone>, Option<ServerText>);

fn states() -> Result<Vec<State>, ErrorReport> {
    let states = "SELECT s.name, s.last_seen, s.error FROM scram.fleet_server s ORDER BY s.name COLLATE \"C\"";
    as_owner(OWNED, states, &[], |row| {
        Ok((row.value("name")?, row.optional("last_seen")?, row.optional("error")?))
    })
}

/// A row of `scram.fleet_server`.
struct FleetServer {
    name: ServerText,
    /// Why it cannot be asked.
    failure: Option<String>,
}

/// The servers of the fleet, as the current user may use them.
fn servers() -> Result<Vec<FleetServer>, ErrorReport> {
    const WRAPPER: &str = "SELECT FROM pg_extension e WHERE e.extname = 'postgres_fdw'";
    const SERVERS: &str = r#"
SELECT s.name, CASE
    WHEN f.oid IS NULL THEN format('foreign server "%s" does not exist', s.name)
    WHEN NOT EXISTS (
        SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_foreign_data_wrapper'::regclass AND d.objid = f.srvfdw AND d.deptype = 'e'
            AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'postgres_fdw')
    THEN format('foreign server "%s" is none of postgres_fdw', s.name)
    WHEN NOT has_server_privilege($1, f.oid, 'USAGE') THEN format('permission denied for foreign server "%s"', s.name)
    WHEN NOT EXISTS (SELECT FROM pg_user_mappings m WHERE m.srvid = f.oid AND m.umuser IN (0, $1))
    THEN format('role "%s" has no user mapping for foreign server "%s"', pg_get_userbyid($1), s.name)
    END AS failure
FROM scram.fleet_server s
LEFT JOIN pg_foreign_server f ON f.srvname = s.name
ORDER BY s.name COLLATE "C""#;
    if as_owner(OWNED, WRAPPER, &[], |_| Ok(()))?.is_empty() {
        return Err(Error::FleetExtension.into());
    }
    as_owner(OWNED, SERVERS, &[current_user().into()], |row| {
        Ok(FleetServer { name: row.value("name")?, failure: row.optional_text("failure")? })
    })
}

fn current_user() -> pg_sys::Oid {
    // SAFETY: reads the state of the backend.
    unsafe { pg_sys::GetUserId() }
}

/// Asks each server that may be asked, and stores its answer or the reason why there is none.
fn refresh(servers: Vec<FleetServer>) -> Result<(), ErrorReport> {
    let (asked, refused): (Vec<_>, Vec<_>) =
        servers.into_iter().partition(|server| server.failure.is_none());
    for server in refused {
        store(&server.name, Err(server.failure.unwrap_or_default()))?;
    }
    if asked.is_empty() {
        return Ok(());
    }

    let libpq = Libpq::load().ok_or(Error::FleetLibrary)?;
    let known = libpq.parameters().ok_or_else(out_of_memory)?;
    let parameters: Vec<_> = asked
        .iter()
        .map(|server| {
            // A name of a foreign server has no NUL.
            let name = CString::new(server.name.as_bytes()).unwrap_or_default();
            let mut of_server: ConnectionParameters =
                connection_parameters(&name, current_user(), &known);
            of_server.options.extend(own_parameters());
            of_server
        })
        .collect();
    let timeout = guc::fleet_timeout();
    let queries = query::queries(timeout);
    collect(libpq, &parameters, &queries, timeout, |index, answer| {
        // Deleted after each answer, also after an error, because the refresh of many servers is one call.
        let mut memory = PgMemoryContexts::new("scram_ext fleet answer");
        // SAFETY: all that is allocated in it is used by `store` only.
        unsafe { memory.switch_to(|_| store(&asked[index].name, answer)) }
    })
}

fn out_of_memory() -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY, "out of memory", "")
}

/// Stores an answer, or why there is none.
fn store(server: &ServerText, answer: Answer) -> Result<(), ErrorReport> {
    const STORE: &str = "SELECT scram_internal.store_fleet_answer($1, $2, $3, $4)";
    /// Characters of an error, which may quote the server.
    const MAX_ERROR: usize = 500;

    let answer = answer.and_then(|rows| {
        if rows.iter().flatten().any(|cell| cell.contains(&0)) {
            return Err("the server sent bytes that are no text".to_owned());
        }
        if !rows.iter().all(|[_, content]| has_short_numbers(content)) {
            return Err(
                "the server sent a number with an exponent or more than 20 characters".to_owned()
            );
        }
        Ok(rows)
    });
    let (failure, rows) = match answer {
        Err(why) => {
            let shown = why.chars().filter(|character| !character.is_control()).take(MAX_ERROR);
            (Some(ServerText::from_utf8(&shown.collect::<String>())), Vec::new())
        }
        Ok(rows) => (None, rows),
    };
    let texts = |column: usize| -> Vec<ServerText> {
        rows.iter().map(|row| ServerText::from_json(&row[column])).collect()
    };
    let arguments: [DatumWithOid<'_>; 4] = [
        ServerText::from_bytes(server.as_bytes()).into(),
        failure.into(),
        texts(0).into(),
        texts(1).into(),
    ];
    as_owner(OWNED, STORE, &arguments, |_| Ok(()))?;
    Ok(())
}

/// Keeps out another refresh, and neither readers nor writers of the table.
const LOCK: &str = "LOCK TABLE scram_internal.fleet_run IN SHARE UPDATE EXCLUSIVE MODE";

/// A table whose owner is the extension's.
const OWNED: TableName = (c"scram", c"fleet_server");
