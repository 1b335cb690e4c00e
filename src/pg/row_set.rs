//! The result of a function that returns a table of any size: written row by row into a tuplestore,
//! which goes to disk when it outgrows `work_mem`.
//!
//! pgrx's `TableIterator` is asked for one row at a time, between which no query can stay open.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;

/// The function that writes the rows. An SQL function that returns it has a handwritten signature
/// (`sql = …`) with `N` columns; the catalog test pins it.
pub(crate) struct RowSet<const N: usize> {
    write: Box<Writer<N>>,
    /// How many columns the SQL function has at least.
    least: usize,
}

type Writer<const N: usize> = dyn FnOnce(&Sink<N>) -> Result<(), ErrorReport>;

impl<const N: usize> RowSet<N> {
    pub(crate) fn new(write: impl FnOnce(&Sink<N>) -> Result<(), ErrorReport> + 'static) -> Self {
        Self::growing(N, write)
    }

    /// For a type that has got columns since the first release: the script of an earlier release, which runs until
    /// `ALTER EXTENSION … UPDATE`, has the first `least` or more of them. [`Sink::columns`] tells how many.
    pub(crate) fn growing(
        least: usize,
        write: impl FnOnce(&Sink<N>) -> Result<(), ErrorReport> + 'static,
    ) -> Self {
        Self { write: Box::new(write), least }
    }
}

/// Where rows go.
pub(crate) struct Sink<const N: usize> {
    store: *mut pg_sys::Tuplestorestate,
    row: pg_sys::TupleDesc,
}

impl<const N: usize> Sink<N> {
    /// How many columns the result has.
    pub(crate) fn columns(&self) -> usize {
        // SAFETY: the description of the result lives as long as the call.
        usize::try_from(unsafe { (*self.row).natts }).unwrap_or(0)
    }

    /// Adds a row, which is copied; columns beyond those of the result are left out.
    pub(crate) fn push(&self, values: [Option<pg_sys::Datum>; N]) {
        let mut nulls = values.map(|value| value.is_none());
        let mut values = values.map(|value| value.unwrap_or_else(pg_sys::Datum::null));
        // SAFETY: `row` has at most N columns; the arrays are only read.
        unsafe {
            pg_sys::tuplestore_putvalues(
                self.store,
                self.row,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
        }
    }
}

// SAFETY: returns in materialize mode, with the result set that the call provides.
unsafe impl<const N: usize> BoxRet for RowSet<N> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the call info is that of the running call. InitMaterializedSRF raises where the
        // caller takes no set, and fills in the two members. The columns are counted before any row
        // is written.
        let sink = unsafe {
            let call = fcinfo.as_mut_ptr();
            pg_sys::InitMaterializedSRF(call, 0);
            let set = (*call).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            let sink = Sink { store: (*set).setResult, row: (*set).setDesc };
            if !(self.least..=N).contains(&sink.columns()) {
                pgrx::error!("the function's columns do not fit its result");
            }
            sink
        };
        if let Err(report) = (self.write)(&sink) {
            report.report(pgrx::PgLogLevel::ERROR);
        }
        fcinfo.return_null()
    }
}
