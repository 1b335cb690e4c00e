//! Asks many servers at the same time. A server that does not answer, or answers too much, costs its own row only.

use core::time::Duration;
use std::ffi::CString;
use std::time::Instant;

use nix::libc;
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::data_limit::DataLimit;
use crate::pg::foreign_server::ConnectionParameters;
use crate::pg::interrupt;
use crate::pg::libpq::{Cells, Connection, Libpq, Progress, Wait};

use super::query::Queries;

/// Connections that are open at the same time.
const MAX_CONNECTIONS: usize = 16;

/// An answer has at most as many rows as the queries ask for, with a few for the results of their other statements.
const MAX_ROWS: usize = 32_000;

/// Bytes of an answer, and of one of its rows. 4 MiB are for the digests: 20,000 names of 63 bytes take 3.1 MB.
const MAX_BYTES: usize = 12 * 1024 * 1024;
const MAX_ROW_BYTES: usize = 64 * 1024;

/// Memory that libpq may take for all connections.
const MAX_LIBPQ_BYTES: u64 = 256 * 1024 * 1024;

/// How long a wait for sockets lasts until it looks for a cancel.
const SLICE_MILLISECONDS: i32 = 50;

/// The rows of an answer, each a part and its content; or why there are none.
pub(super) type Answer = Result<Vec<[Vec<u8>; 2]>, String>;

/// Asks these servers and hands each answer to `store` with the number of the server, so that only the answers that are
/// coming in are in memory. Each server has `timeout` from its connection's beginning, without the time of work that
/// is done here meanwhile.
pub(super) fn collect(
    libpq: Libpq,
    servers: &[ConnectionParameters],
    queries: &Queries,
    timeout: Duration,
    mut store: impl FnMut(usize, Answer) -> Result<(), ErrorReport>,
) -> Result<(), ErrorReport> {
    let limit = DataLimit::more_than_now(MAX_LIBPQ_BYTES);
    let mut waiting = servers.iter().enumerate();
    let mut calls: Vec<Call> = Vec::new();
    loop {
        while calls.len() < MAX_CONNECTIONS {
            let Some((index, server)) = waiting.next() else { break };
            let started =
                meanwhile(&mut calls, || Call::start(libpq, index, server, timeout, &limit));
            match started {
                Ok(call) => calls.push(call),
                Err(why) => meanwhile(&mut calls, || store(index, Err(why)))?,
            }
            interrupt::check();
        }
        if calls.is_empty() {
            return Ok(());
        }
        let ready = wait_for_sockets(&calls);
        interrupt::check();
        let mut going_on = Vec::with_capacity(calls.len());
        let mut answers = Vec::new();
        for (mut call, is_ready) in calls.into_iter().zip(ready) {
            match call.advance(is_ready, queries, timeout, &limit) {
                None => going_on.push(call),
                // Closed here, before a statement is run.
                Some(answer) => answers.push((call.index, answer)),
            }
        }
        calls = going_on;
        for (index, answer) in answers {
            meanwhile(&mut calls, || store(index, answer))?;
        }
    }
}

/// Does something here that no server can answer during, so that its time does not count for the servers: to store an
/// answer, or to begin a connection, which waits for the resolver.
fn meanwhile<T>(calls: &mut [Call], work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = work();
    let elapsed = begin.elapsed();
    calls.iter_mut().for_each(|call| call.deadline += elapsed);
    result
}

/// Which calls can go on. Waits for at most [`SLICE_MILLISECONDS`].
fn wait_for_sockets(calls: &[Call]) -> Vec<bool> {
    let events = |wait| match wait {
        Wait::Read => libc::POLLIN,
        Wait::ReadOrWrite => libc::POLLIN | libc::POLLOUT,
        Wait::Write => libc::POLLOUT,
    };
    let mut sockets: Vec<_> = calls
        .iter()
        .map(|call| libc::pollfd {
            fd: call.connection.socket(),
            events: events(call.wait),
            revents: 0,
        })
        .collect();
    let count = sockets.len() as libc::nfds_t;
    // SAFETY: an array of that many elements. A signal ends the wait early, which is no error here.
    unsafe { libc::poll(sockets.as_mut_ptr(), count, SLICE_MILLISECONDS) };
    sockets.iter().map(|socket| socket.revents != 0).collect()
}

/// A connection and what has come over it.
struct Call {
    index: usize,
    connection: Connection,
    deadline: Instant,
    needs_password: bool,
    is_connected: bool,
    is_asked_for_digests: bool,
    wait: Wait,
    rows: Vec<[Vec<u8>; 2]>,
    /// Rows and results, also those without a column.
    results: usize,
    bytes: usize,
}

impl Call {
    fn start(
        libpq: Libpq,
        index: usize,
        server: &ConnectionParameters,
        timeout: Duration,
        limit: &DataLimit,
    ) -> Result<Self, String> {
        if server.needs_password && !server.has_password() {
            return Err(PASSWORD_REQUIRED.to_owned());
        }
        if server.needs_password && !server.has_remote_host() {
            return Err(HOST_REQUIRED.to_owned());
        }
        let connection = Connection::start(libpq, &server.options, limit)?;
        Ok(Self {
            index,
            connection,
            // The host name has been looked up by now.
            deadline: Instant::now() + timeout,
            needs_password: server.needs_password,
            is_connected: false,
            is_asked_for_digests: false,
            // libpq asks for this after the beginning.
            wait: Wait::Write,
            rows: Vec::new(),
            results: 0,
            bytes: 0,
        })
    }

    /// Goes on if its socket is ready; the answer when it has ended.
    fn advance(
        &mut self,
        is_ready: bool,
        queries: &Queries,
        timeout: Duration,
        limit: &DataLimit,
    ) -> Option<Answer> {
        if is_ready {
            match self.step(queries, limit) {
                Err(why) => return Some(Err(why)),
                Ok(Progress::Done) => return Some(Ok(core::mem::take(&mut self.rows))),
                Ok(Progress::Waits(wait)) => self.wait = wait,
            }
        }
        let seconds = timeout.as_secs();
        let what = if self.is_connected { "answer" } else { "connection" };
        (Instant::now() >= self.deadline).then(|| Err(format!("no {what} within {seconds} s")))
    }

    fn step(&mut self, queries: &Queries, limit: &DataLimit) -> Result<Progress, String> {
        if !self.is_connected {
            if let waits @ Progress::Waits(_) = self.connection.connect(limit)? {
                return Ok(waits);
            }
            if self.needs_password && !self.connection.used_password() {
                return Err(PASSWORD_REQUIRED.to_owned());
            }
            self.is_connected = true;
            self.connection.send(&queries.first, limit)?;
        }
        match self.receive(limit)? {
            Progress::Done if self.has_digests() && !self.is_asked_for_digests => {
                self.is_asked_for_digests = true;
                self.connection.send(&queries.digests, limit)?;
                self.receive(limit)
            }
            progress => Ok(progress),
        }
    }

    /// Whether the server says that it makes digests.
    fn has_digests(&self) -> bool {
        self.rows.iter().any(|[part, _]| part == Queries::HAS_DIGESTS)
    }

    fn receive(&mut self, limit: &DataLimit) -> Result<Progress, String> {
        let Self { connection, rows, results, bytes, .. } = self;
        connection.receive(limit, MAX_ROW_BYTES, |cells: Cells| {
            *results += 1;
            *bytes += cells.iter().map(Vec::len).sum::<usize>();
            if *results > MAX_ROWS || *bytes > MAX_BYTES {
                return Err("the server sent more rows or bytes than it was asked for".to_owned());
            }
            if !cells.is_empty() {
                let row = <[Vec<u8>; 2]>::try_from(cells);
                rows.push(row.map_err(|_| "the server sent other columns".to_owned())?);
            }
            Ok(())
        })
    }
}

const HOST_REQUIRED: &str =
    "host is required: where a password is needed, a foreign server needs a host that is no socket";

const PASSWORD_REQUIRED: &str =
    "password is required: the user mapping has none, or the server did not ask for it";

/// Parameters that are added to those of each server.
///
/// UTF8 has every character of a server; this database may lack some, which become escapes.
pub(super) fn own_parameters() -> [(CString, CString); 2] {
    [
        (c"client_encoding".to_owned(), c"UTF8".to_owned()),
        (c"fallback_application_name".to_owned(), c"scram_ext fleet".to_owned()),
    ]
}
