//! Whether this session can store something.

use pgrx::pg_sys;

/// Where nothing can be stored, in words for a message; `None` where the session may write.
pub(crate) fn place() -> Option<&'static str> {
    // SAFETY: these read the state of the backend.
    unsafe {
        if pg_sys::RecoveryInProgress() {
            Some("during recovery")
        } else if pg_sys::XactReadOnly {
            Some("in a read-only transaction")
        } else {
            None
        }
    }
}
