//! Section "Why a login works or does not": the facts about one login, which `password_audit::login` judges.

mod facts;
mod library;
mod pattern;
mod setting;

use password_audit::login::{Row, explain};
use pgrx::datum::Inet;
use pgrx::prelude::*;

use crate::error::Error;
use crate::pg::name::PgName;
use crate::pg::row_set::{RowSet, Sink};
use crate::pg::statement_hiding::with_hidden_statement;
use crate::pg::text::{ServerText, Utf8};
use facts::Asked;

/// `scram.explain_login(role name, database name DEFAULT current_database(), client inet DEFAULT NULL, tls boolean
/// DEFAULT false, replication boolean DEFAULT false, hba text DEFAULT NULL)
/// returns table (step integer, check_name text, ok boolean, detail text, remedy text)`
///
/// Explains in the server's order whether a client that knows the password would log in. `client` NULL stands for
/// the Unix-domain socket; `hba` is a text that is proposed in place of pg_hba.conf. `ok` is NULL where only a login
/// can tell. The last row is the verdict. No name server is asked about the client, and no secret is
/// shown.
///
/// Raises 22023 for a network in place of the client's address, and for a text that the server would not load as
/// pg_hba.conf; 42501 for a text that includes files, unless the caller may read the server's files.
#[pg_extern(sql = "
CREATE FUNCTION scram.explain_login(role name, database name DEFAULT current_database(), client inet DEFAULT NULL,
    tls boolean DEFAULT false, replication boolean DEFAULT false, hba text DEFAULT NULL)
RETURNS TABLE (step integer, check_name text, ok boolean, detail text, remedy text)
STABLE SECURITY DEFINER COST 100000 ROWS 8
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'explain_login_wrapper';
")]
pub(crate) fn explain_login(
    role: Option<PgName>,
    database: Option<PgName>,
    client: Option<Inet>,
    tls: Option<bool>,
    replication: Option<bool>,
    hba: Option<ServerText>,
) -> RowSet<5> {
    RowSet::new(move |sink| {
        let role = role.ok_or(Error::Null { argument: "role" })?;
        let client = match client {
            Some(client) => Some(client.0.parse().map_err(|_| Error::ClientAddress)?),
            None => None,
        };
        let asked = Asked {
            role: role.text(),
            database: database.as_ref().map(PgName::text),
            client,
            tls: tls.unwrap_or(false),
            replication: replication.unwrap_or(false),
        };
        let facts = match &hba {
            // A proposed text may hold passwords of LDAP and RADIUS servers.
            Some(_) => with_hidden_statement(|| facts::load(&asked, hba.as_ref())),
            None => facts::load(&asked, None),
        }?;
        explain(&facts).into_iter().for_each(|row| push(sink, row));
        Ok(())
    })
}

fn push(sink: &Sink<5>, row: Row) {
    sink.push([
        row.step.into_datum(),
        row.check.into_datum(),
        row.ok.into_datum(),
        Utf8(row.detail).into_datum(),
        row.remedy.and_then(|remedy| Utf8(remedy).into_datum()),
    ]);
}
