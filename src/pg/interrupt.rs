//! Sleeping without keeping signals waiting.

use pgrx::prelude::*;

/// Sleeps until this backend's latch is set, the time has passed, or the postmaster is gone; then
/// lets a cancel, a timeout or a shutdown through.
pub(crate) fn wait_for_latch(milliseconds: i64) {
    let wanted = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: on the backend's own thread, whose latch this is.
    unsafe {
        let event = pg_sys::PG_WAIT_EXTENSION;
        pg_sys::WaitLatch(pg_sys::MyLatch, wanted.cast_signed(), milliseconds, event);
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    check();
}

/// Lets a cancel, a timeout or a shutdown end a long derivation.
pub(crate) fn check() {
    check_for_interrupts!();
}
