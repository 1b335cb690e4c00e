//! Rows of queries, with text in any encoding.

use pgrx::datum::{Datum, DatumWithOid, UnboxDatum};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{SpiHeapTupleData, SpiResult};
use pgrx::{FromDatum, pg_sys};

use super::text::ServerText;

/// Runs a read-only query and reads each of its rows. What the server raises passes through as it is.
pub(crate) fn rows<T>(
    query: &str,
    arguments: &[DatumWithOid<'_>],
    mut read: impl FnMut(SpiHeapTupleData<'_>) -> SpiResult<T>,
) -> Result<Vec<T>, ErrorReport> {
    let rows = Spi::connect(|client| {
        client.select(query, None, arguments)?.map(&mut read).collect::<SpiResult<Vec<_>>>()
    });
    rows.map_err(internal)
}

/// A failure to read what the server's own types say can be read.
pub(crate) fn internal(error: pgrx::spi::Error) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, error.to_string(), "")
}

/// A text column in UTF-8, what is no text in it as `\xNN`.
pub(crate) fn text(row: &SpiHeapTupleData<'_>, column: usize) -> SpiResult<Option<String>> {
    Ok(row.get::<TextColumn>(column)?.map(|text| text.0.name()))
}

/// A column of text arrays, as [`text`].
pub(crate) fn texts(row: &SpiHeapTupleData<'_>, column: usize) -> SpiResult<Option<Vec<String>>> {
    let texts = row.get::<Vec<Option<TextColumn>>>(column)?;
    Ok(texts.map(|texts| texts.into_iter().flatten().map(|text| text.0.name()).collect()))
}

/// A text column, in the server's encoding.
pub(crate) struct TextColumn(pub(crate) ServerText);

impl FromDatum for TextColumn {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        oid: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: as the caller vouches.
        unsafe { ServerText::from_polymorphic_datum(datum, is_null, oid) }.map(Self)
    }
}

// SAFETY: as for ServerText.
unsafe impl UnboxDatum for TextColumn {
    type As<'src> = Self;

    unsafe fn unbox<'src>(datum: Datum<'src>) -> Self::As<'src>
    where
        Self: 'src,
    {
        // SAFETY: as the caller vouches.
        Self(unsafe { ServerText::unbox(datum) })
    }
}

impl IntoDatum for TextColumn {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        self.0.into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}
