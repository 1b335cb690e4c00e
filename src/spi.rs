//! Rows of queries, with text in any encoding.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{SpiHeapTupleData, SpiResult};
use pgrx::{FromDatum, pg_sys};

use crate::text::Text;

/// Runs a read-only query and reads each of its rows. What the server raises passes through as it is.
pub(crate) fn rows<T>(
    query: &str,
    arguments: &[DatumWithOid<'_>],
    read: impl Fn(SpiHeapTupleData<'_>) -> SpiResult<T>,
) -> Result<Vec<T>, ErrorReport> {
    let rows = Spi::connect(|client| {
        client.select(query, None, arguments)?.map(read).collect::<SpiResult<Vec<_>>>()
    });
    rows.map_err(|error| {
        ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, error.to_string(), "")
    })
}

/// A text column in UTF-8, what is no text in it as `\xNN`.
pub(crate) fn text(row: &SpiHeapTupleData<'_>, column: usize) -> SpiResult<Option<String>> {
    Ok(row.get::<ServerText>(column)?.map(|text| text.0.name()))
}

/// A text column, in the server's encoding.
struct ServerText(Text);

impl FromDatum for ServerText {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        oid: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: as the caller vouches.
        unsafe { Text::from_polymorphic_datum(datum, is_null, oid) }.map(Self)
    }
}

impl IntoDatum for ServerText {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let bytes = self.0.as_bytes();
        let len = i32::try_from(bytes.len()).ok()?;
        // SAFETY: copies `len` bytes, which are in the server's encoding already, into a new datum.
        let text = unsafe { pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), len) };
        Some(text.into())
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}
