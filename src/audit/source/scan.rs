//! The rows of one relation, from storage.

use core::ptr;
use std::time::Instant;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;

use super::column::{Columns, Value};
use super::relation::Relation;
use crate::error::Error;
use crate::pg::interrupt;

/// Rows between two looks at the clock and at interrupts, at most. Their memory is freed together.
const BATCH: usize = 1024;

/// Bytes after which a batch ends early: a value may be printed in many times its own length.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Hands the name of every row that is visible now to `take`, with what reads the row's secret.
///
/// A partitioned table has no rows of its own. Raises 53400 where `until` has passed after a batch.
pub(super) fn rows(
    relation: &Relation,
    columns: &Columns,
    until: Option<Instant>,
    mut take: impl FnMut(Value, &mut dyn FnMut() -> Value),
) -> Result<(), ErrorReport> {
    if relation.class().relkind.cast_unsigned() == pg_sys::RELKIND_PARTITIONED_TABLE {
        return Ok(());
    }
    if !relation.class().relispopulated {
        return Err(Error::SourceNotPopulated { relation: relation.name() }.into());
    }
    let mut scan = Scan::begin(relation);
    let memory = Batch::new();
    loop {
        let more = memory.run(|| scan.batch(columns, &mut take));
        interrupt::check();
        if !more {
            return Ok(());
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(Error::SourceOutOfTime.into());
        }
    }
}

/// A scan that has begun.
struct Scan {
    scan: pg_sys::TableScanDesc,
    slot: *mut pg_sys::TupleTableSlot,
    snapshot: pg_sys::Snapshot,
}

impl Scan {
    fn begin(relation: &Relation) -> Self {
        // SAFETY: the relation is open and locked, and outlives the scan; it has storage.
        unsafe {
            let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
            let slot = pg_sys::table_slot_create(relation.as_ptr(), ptr::null_mut());
            let scan = pg_sys::table_beginscan(relation.as_ptr(), snapshot, 0, ptr::null_mut());
            Self { scan, slot, snapshot }
        }
    }

    /// False at the end.
    fn batch(
        &mut self,
        columns: &Columns,
        take: &mut impl FnMut(Value, &mut dyn FnMut() -> Value),
    ) -> bool {
        for _ in 0..BATCH {
            // SAFETY: the scan has begun and not ended; the columns are of this relation.
            unsafe {
                let forward = pg_sys::ScanDirection::ForwardScanDirection;
                if !pg_sys::table_scan_getnextslot(self.scan, forward, self.slot) {
                    return false;
                }
                let slot = self.slot;
                let value = |column: &super::column::Column| {
                    let mut is_null = false;
                    let datum = pg_sys::slot_getattr(slot, column.number.into(), &mut is_null);
                    column.value(datum, is_null)
                };
                take(value(&columns.subject), &mut || value(&columns.secret));
                if pg_sys::MemoryContextMemAllocated(pg_sys::CurrentMemoryContext, true)
                    > BATCH_BYTES
                {
                    return true;
                }
            }
        }
        true
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        // SAFETY: begun when this was made; after an error the abort has released everything already.
        unsafe {
            if !std::thread::panicking() {
                pg_sys::table_endscan(self.scan);
                pg_sys::ExecDropSingleTupleTableSlot(self.slot);
                pg_sys::UnregisterSnapshot(self.snapshot);
            }
        }
    }
}

/// The memory of a batch: what the server allocates for values is freed with it.
struct Batch(pg_sys::MemoryContext);

impl Batch {
    fn new() -> Self {
        // SAFETY: the name is a constant; the parent is the context of the running call, which an
        // error frees as well.
        Self(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"scram_ext rows of a source".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as pg_sys::Size,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as pg_sys::Size,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as pg_sys::Size,
            )
        })
    }

    fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        // SAFETY: the context lives as long as this; nothing that it holds outlives the batch. An error
        // leaves through the server's handler, which sets its own context.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.0);
            let result = body();
            pg_sys::MemoryContextSwitchTo(before);
            pg_sys::MemoryContextReset(self.0);
            result
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: made above; after an error its parent is gone or about to go.
        unsafe {
            if !std::thread::panicking() {
                pg_sys::MemoryContextDelete(self.0);
            }
        }
    }
}
