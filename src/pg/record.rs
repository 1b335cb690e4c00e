//! The result of a function with OUT arguments: one row, not a set.
//!
//! pgrx's `TableIterator` makes RETURNS SETOF, which has no row where a strict function gets a NULL.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

use super::row_set::RowSet;

/// One value for each OUT argument, in their order.
///
/// A function that returns it has its signature written by hand (`sql = …`), with as many OUT
/// arguments of the same types; the catalog test pins both.
pub(crate) struct Record<const N: usize>(pub(crate) [Option<pg_sys::Datum>; N]);

// SAFETY: returns a composite datum of the row type that the call asks for.
unsafe impl<const N: usize> BoxRet for Record<N> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        let mut nulls = self.0.map(|value| value.is_none());
        let mut values = self.0.map(|value| value.unwrap_or_else(pg_sys::Datum::null));
        // SAFETY: the call info is that of the running call. The lengths are compared before the
        // arrays are read: a signature that doesn't fit its function is an error, not a crash.
        unsafe {
            let mut row: pg_sys::TupleDesc = core::ptr::null_mut();
            let class =
                pg_sys::get_call_result_type(fcinfo.as_mut_ptr(), core::ptr::null_mut(), &mut row);
            let columns = row.as_ref().and_then(|row| usize::try_from(row.natts).ok());
            if class != pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE || columns != Some(N) {
                pgrx::error!("the function's OUT arguments do not fit its result");
            }
            let row = pg_sys::BlessTupleDesc(row);
            let tuple = pg_sys::heap_form_tuple(row, values.as_mut_ptr(), nulls.as_mut_ptr());
            fcinfo.return_raw_datum(pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data))
        }
    }
}

/// For result types whose functions have their signature written by hand: pgrx asks them for SQL all the
/// same.
macro_rules! handwritten_result {
    ($type:ident) => {
        // SAFETY: the SQL that this would be rendered to is replaced by the handwritten signature.
        unsafe impl<const N: usize> SqlTranslatable for $type<N> {
            const TYPE_IDENT: &'static str = "record";
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> =
                Err(ArgumentError::NotValidAsArgument("record"));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
                Ok(ReturnsRef::One(SqlMappingRef::literal("record")));
        }
    };
}

handwritten_result!(Record);
handwritten_result!(RowSet);
