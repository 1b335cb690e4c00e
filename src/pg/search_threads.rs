//! Threads that only compute, for the length of one call.
//!
//! They never call PostgreSQL, take no signals, and end with the call, also when it ends by an
//! error or a cancel. They read only memory that Rust allocated, because a session that is
//! terminated frees PostgreSQL's memory while they still run.

use std::thread::{self, ScopedJoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow};
use scram_core::Search;

use super::{caller, interrupt};
use crate::error::Error;
use crate::guc;

/// How long the backend sleeps at a time when it has nothing left to do but to wait for the others,
/// in milliseconds.
const WAIT_MILLISECONDS: i64 = 1;

/// How many threads a search may have that any user can call: `scram.search_threads` for those who may
/// run the audit, one for all others.
pub(crate) fn threads_of_caller() -> usize {
    match guc::search_threads() {
        0 | 1 => 1,
        threads if caller::may_execute(c"run_audit") => threads,
        _ => 1,
    }
}

/// Searches on this thread and up to `limit - 1` others. A cancel, a timeout or a shutdown ends it.
pub(crate) fn run<C: AsRef<[u8]> + Sync>(
    search: &Search<'_, C>,
    limit: usize,
) -> Result<(), Error> {
    let threads = search.threads(limit);
    if threads == 1 {
        search.work(interrupt::check);
        return Ok(());
    }
    thread::scope(|scope| {
        let mut others =
            SearchThreads { stop: || search.stop(), workers: Vec::with_capacity(threads) };
        {
            let _mask = SignalMask::block_all()?;
            for _ in 1..threads {
                let builder = thread::Builder::new().name("scram search".to_owned());
                // Where the system gives no more threads, those that are there do the work.
                let Ok(worker) = builder.spawn_scoped(scope, || search.work(|| ())) else { break };
                others.workers.push(worker);
            }
        }
        search.work(interrupt::check);
        others.wait()
    })
}

/// The other threads. Stopped and joined when dropped: the backend may be unwinding out of a cancel.
struct SearchThreads<'scope, S: Fn()> {
    stop: S,
    workers: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<S: Fn()> SearchThreads<'_, S> {
    /// Waits until the threads have finished their current candidates. One derivation can take long,
    /// so interrupts are checked meanwhile.
    fn wait(&mut self) -> Result<(), Error> {
        while self.workers.iter().any(|worker| !worker.is_finished()) {
            interrupt::wait_for_latch(WAIT_MILLISECONDS);
        }
        // Joined one by one: only then has the system's thread gone, not just its work.
        let ended: Vec<_> = self.workers.drain(..).map(ScopedJoinHandle::join).collect();
        if ended.iter().all(Result::is_ok) { Ok(()) } else { Err(Error::Search) }
    }
}

impl<S: Fn()> Drop for SearchThreads<'_, S> {
    fn drop(&mut self) {
        (self.stop)();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// Blocks all signals until dropped; threads started meanwhile inherit that. PostgreSQL's handlers must
/// run on the backend's thread, so the other threads must never receive a signal. The old mask is
/// restored on drop, and pending signals are delivered then.
struct SignalMask(SigSet);

impl SignalMask {
    fn block_all() -> Result<Self, Error> {
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        before.map(Self).map_err(|_| Error::Search)
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // It fails only for an unknown `SigmaskHow`, which this is not.
        let _ = self.0.thread_set_mask();
    }
}
