//! A bound on memory that a C library allocates.

use nix::libc;

/// More bytes than this process may have allocated while a closure of [`DataLimit::hold`] runs.
///
/// libpq takes a message of any announced length into memory, so that a hostile server could have the kernel end
/// this process, and PostgreSQL then ends all sessions. With the limit, `malloc` fails instead, which libpq reports
/// as an error of that connection.
pub(crate) struct DataLimit(Option<libc::rlim_t>);

impl DataLimit {
    /// So many bytes more than the process has now. Without effect where the kernel does not tell how many it has.
    pub(crate) fn more_than_now(bytes: u64) -> Self {
        Self(data_bytes().map(|now| now.saturating_add(bytes)))
    }

    /// Runs `call` under the limit. It must not allocate through Rust or the server, whose processes end or raise
    /// when an allocation fails.
    pub(crate) fn hold<T>(&self, call: impl FnOnce() -> T) -> T {
        let Some(limit) = self.0 else { return call() };
        let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads and sets the soft limit of this process, which may be raised again up to the hard one.
        unsafe {
            if libc::getrlimit(libc::RLIMIT_DATA, &mut before) != 0 {
                return call();
            }
            let limited =
                libc::rlimit { rlim_cur: limit.min(before.rlim_cur), rlim_max: before.rlim_max };
            libc::setrlimit(libc::RLIMIT_DATA, &limited);
            let result = call();
            libc::setrlimit(libc::RLIMIT_DATA, &before);
            result
        }
    }
}

/// The size of the process's data as the kernel compares it with the limit: the sixth number of `statm`, in pages.
fn data_bytes() -> Option<libc::rlim_t> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(5)?.parse().ok()?;
    // SAFETY: reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.checked_mul(u64::try_from(page).ok()?)
}
