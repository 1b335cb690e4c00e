//! The rows of one relation, from storage.

use core::ptr;
use std::ops::{ControlFlow, Range};

use pgrx::pg_sys;

use super::column::{Columns, Value};
use super::relation::Relation;
use crate::pg::interrupt;

/// Rows between two looks at interrupts, at most. Their memory is freed together.
const ROWS_PER_BATCH: usize = 1024;

/// Bytes after which a batch ends early: a value may be printed in many times its own length.
const BYTES_PER_BATCH: usize = 16 * 1024 * 1024;

/// Hands the block, name and secret of every row that the snapshot shows to `take`, until `take` breaks.
///
/// `blocks`: the part of a heap that is read; `None` for all. The relation has storage, or no rows.
pub(super) fn rows(
    relation: &Relation,
    columns: &Columns,
    snapshot: &Snapshot,
    blocks: Option<Range<u32>>,
    mut take: impl FnMut(u32, Value, Value) -> ControlFlow<()>,
) {
    if relation.class().relkind.cast_unsigned() == pg_sys::RELKIND_PARTITIONED_TABLE {
        return;
    }
    let mut scan = Scan::begin(relation, snapshot, blocks);
    let memory = Batch::new();
    loop {
        let next = memory.run(|| scan.batch(columns, &mut take));
        interrupt::check();
        if next.is_break() {
            return;
        }
    }
}

/// What is visible now, for as long as this lives.
pub(in crate::audit) struct Snapshot(pg_sys::Snapshot);

impl Snapshot {
    pub(super) fn latest() -> Self {
        // SAFETY: the snapshot is released when this is dropped.
        Self(unsafe { pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot()) })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // SAFETY: registered when this was made; after an error the abort has released it already.
        unsafe {
            if !std::thread::panicking() {
                pg_sys::UnregisterSnapshot(self.0);
            }
        }
    }
}

/// A scan that has begun.
struct Scan {
    scan: pg_sys::TableScanDesc,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Scan {
    fn begin(relation: &Relation, snapshot: &Snapshot, blocks: Option<Range<u32>>) -> Self {
        // SAFETY: the relation is open and locked, and outlives the scan, as the snapshot does; it has storage.
        // The limits are set before the first row is asked for, on a heap, without a synchronized start.
        unsafe {
            let slot = pg_sys::table_slot_create(relation.as_ptr(), ptr::null_mut());
            // A range of TIDs would be the usual way to read a part, but such a scan has no ring of buffers, and
            // reading a large table would empty the server's cache.
            let scan = pg_sys::table_beginscan_strat(
                relation.as_ptr(),
                snapshot.0,
                0,
                ptr::null_mut(),
                true,
                blocks.is_none(),
            );
            if let Some(blocks) = blocks {
                let count = blocks.end.saturating_sub(blocks.start);
                pg_sys::heap_setscanlimits(scan, blocks.start, count);
            }
            Self { scan, slot }
        }
    }

    /// Breaks at the end.
    fn batch(
        &mut self,
        columns: &Columns,
        take: &mut impl FnMut(u32, Value, Value) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for _ in 0..ROWS_PER_BATCH {
            // SAFETY: the scan has begun and not ended; the columns are of this relation.
            unsafe {
                let forward = pg_sys::ScanDirection::ForwardScanDirection;
                if !pg_sys::table_scan_getnextslot(self.scan, forward, self.slot) {
                    return ControlFlow::Break(());
                }
                let slot = self.slot;
                let value = |column: &super::column::Column| {
                    let mut is_null = false;
                    let datum = pg_sys::slot_getattr(slot, column.number.into(), &mut is_null);
                    column.value(datum, is_null)
                };
                let id = (*slot).tts_tid.ip_blkid;
                let block = u32::from(id.bi_hi) << 16 | u32::from(id.bi_lo);
                take(block, value(&columns.subject), value(&columns.secret))?;
                if pg_sys::MemoryContextMemAllocated(pg_sys::CurrentMemoryContext, true)
                    > BYTES_PER_BATCH
                {
                    return ControlFlow::Continue(());
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        // SAFETY: begun when this was made; after an error the abort has released everything already.
        unsafe {
            if !std::thread::panicking() {
                pg_sys::table_endscan(self.scan);
                pg_sys::ExecDropSingleTupleTableSlot(self.slot);
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
