//! `scram.check_password`.

use pgrx::prelude::*;

use super::judge::{Password, is_earlier, judge};
use crate::error::Error;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::check_log;
use crate::pg::name::PgName;
use crate::pg::row_set::RowSet;
use crate::pg::statement_hiding::with_hidden_statement;
use crate::pg::text::{ServerText, Utf8};

/// `scram.check_password(role name, password text) returns table (rule text, ok boolean, detail text)`
///
/// Returns the guard's answers on this password, plain text or hash, whether `scram.guard` is on or not: one
/// row for each rule. `ok` is NULL for a rule that cannot be judged. The role need not exist. Logged, because it
/// tells whether the password is one of the role's earlier ones.
///
/// Raises 22023 for a password that is too long.
#[pg_extern(sql = "
CREATE FUNCTION scram.check_password(role name, password text)
RETURNS TABLE (rule text, ok boolean, detail text)
VOLATILE COST 100000 ROWS 11
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'check_password_wrapper';
")]
pub(crate) fn check_password(role: Option<PgName>, password: Option<ServerText>) -> RowSet<3> {
    RowSet::new(move |sink| {
        with_hidden_statement(|| {
            let name = role.ok_or(Error::Null { argument: "role" })?;
            let name = name.text();
            let password = password.ok_or(Error::Null { argument: "password" })?;
            password.check_length()?;
            let verdicts = judge(name, &Password::of_text(password))?;
            let oid = CatalogRole::lookup(name.as_bytes()).map(|role| role.oid);
            check_log::log("check_password", oid, name, is_earlier(&verdicts));
            for verdict in verdicts {
                let detail = (!verdict.detail.is_empty()).then_some(verdict.detail);
                sink.push([
                    verdict.rule.into_datum(),
                    verdict.ok.into_datum(),
                    detail.and_then(|detail| Utf8(detail).into_datum()),
                ]);
            }
            Ok(())
        })
    })
}
