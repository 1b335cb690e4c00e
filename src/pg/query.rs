//! Queries, and their results by column name.

use pgrx::FromDatum;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{SpiHeapTupleData, SpiResult};

use super::text::ServerText;

/// Runs a read-only query and reads each of its rows. Errors of the server pass through unchanged.
pub(crate) fn query<T>(
    query: &str,
    arguments: &[DatumWithOid<'_>],
    read: impl Fn(&Row<'_>) -> Result<T, ErrorReport>,
) -> Result<Vec<T>, ErrorReport> {
    Spi::connect(|client| {
        let rows = client.select(query, None, arguments).map_err(internal)?;
        rows.map(|row| read(&Row(row))).collect()
    })
}

/// Runs a statement that may write, and reads each row that it returns.
pub(super) fn update<T>(
    statement: &str,
    arguments: &[DatumWithOid<'_>],
    read: impl Fn(&Row<'_>) -> Result<T, ErrorReport>,
) -> Result<Vec<T>, ErrorReport> {
    Spi::connect_mut(|client| {
        let rows = client.update(statement.trim_start(), None, arguments).map_err(internal)?;
        rows.map(|row| read(&Row(row))).collect()
    })
}

/// The row of a query that always returns one.
pub(crate) fn one_row<T>(rows: Vec<T>) -> Result<T, ErrorReport> {
    rows.into_iter().next().ok_or_else(|| {
        let message = "a query of scram_ext returned no row";
        ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message, "")
    })
}

/// One row of a result.
///
/// A wrong column must not become a default value: an audit that reads "cannot log in" for every role
/// would find nothing. So columns are read by name, and NULL where the query never returns it is an
/// internal error that names the column.
pub(crate) struct Row<'a>(SpiHeapTupleData<'a>);

impl Row<'_> {
    /// A value that is never NULL. XX000 for a NULL and for a column that the query does not return.
    pub(crate) fn value<T: FromDatum + IntoDatum>(&self, column: &str) -> Result<T, ErrorReport> {
        self.optional(column)?.ok_or_else(|| {
            let message = format!("column \"{column}\" of a query of scram_ext is null");
            ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message, "")
        })
    }

    /// A value that may be NULL.
    pub(crate) fn optional<T: FromDatum + IntoDatum>(
        &self,
        column: &str,
    ) -> Result<Option<T>, ErrorReport> {
        let value: SpiResult<Option<T>> = self.0.get_by_name(column);
        value.map_err(|error| {
            let message =
                format!("cannot read column \"{column}\" of a query of scram_ext: {error}");
            ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message, "")
        })
    }

    /// Text for display, never NULL; bytes that are no text come as `\xNN`.
    pub(crate) fn text(&self, column: &str) -> Result<String, ErrorReport> {
        Ok(self.value::<ServerText>(column)?.to_display())
    }

    /// Text for display, or NULL.
    pub(crate) fn optional_text(&self, column: &str) -> Result<Option<String>, ErrorReport> {
        Ok(self.optional::<ServerText>(column)?.map(|text| text.to_display()))
    }

    /// An array of text for display, or NULL. Elements are never NULL.
    pub(crate) fn optional_texts(&self, column: &str) -> Result<Option<Vec<String>>, ErrorReport> {
        let texts = self.optional::<Vec<Option<ServerText>>>(column)?;
        Ok(texts.map(|texts| texts.into_iter().flatten().map(|text| text.to_display()).collect()))
    }

    /// An array of text, never NULL. Elements are never NULL.
    pub(crate) fn server_texts(&self, column: &str) -> Result<Vec<ServerText>, ErrorReport> {
        Ok(self.value::<Vec<Option<ServerText>>>(column)?.into_iter().flatten().collect())
    }
}

fn internal(error: pgrx::spi::Error) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, error.to_string(), "")
}
