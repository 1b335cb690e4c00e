//! Waiting for something to become true, never for a time to pass.

use std::thread;
use std::time::{Duration, Instant};

/// Far longer than any step of a test takes, including a whole minute of pg_cron. It is reached by
/// a defect only.
const PATIENCE: Duration = Duration::from_secs(150);

/// Calls `probe` until it gives something, and returns that. Panics with `what` when it never does.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
