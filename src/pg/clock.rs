//! The server's clock.

use pgrx::pg_sys;

/// The current time in microseconds since 2000-01-01, as `timestamptz` counts it.
pub(crate) fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}
