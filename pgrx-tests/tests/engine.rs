//! The search over candidates, seen from outside: a cancel, a terminated session, threads, memory.

use std::fs;
use std::sync::mpsc;
use std::thread;

use postgres::{Client, NoTls};
use scram_ext_client_tests::{Cluster, Raised, cell, until};

/// Many derivations of some seconds each, on four threads. No test waits for its end.
const LONG: &str = "SELECT scram.match_any(v, words) FROM stored";

/// A call on several threads that is quick.
const SHORT: &str =
    "SELECT scram.match_any(scram.generate('pencil', 4096), array_agg('w' || i)) IS NULL
    FROM generate_series(1, 64) i";

fn cluster() -> Cluster {
    let cluster = Cluster::builder()
        .conf("scram.search_threads = 4")
        .conf("scram.max_iterations = 2147483647")
        .start();
    cluster
        .client()
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             CREATE TABLE stored AS
             SELECT replace(scram.generate('pencil', 4096), '$4096:', '$20000000:') AS v,
                    (SELECT array_agg('w' || i) FROM generate_series(1, 10000) i) AS words",
        )
        .expect("the extension and a table");
    cluster
}

/// A session and its process.
fn session(cluster: &Cluster) -> (Client, u32) {
    let mut client = cluster.client();
    let pid = cell(&mut client, "SELECT pg_backend_pid()").expect("a pid");
    (client, pid.parse().expect("a number"))
}

/// How many threads the operating system counts in a process.
fn threads(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/task")).ok()?.count())
}

/// Memory that a process really has, in kB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

#[test]
fn a_cancel_leaves_the_session_and_no_thread() {
    let cluster = cluster();
    let (mut client, pid) = session(&cluster);
    assert_eq!(threads(pid), Some(1));

    for round in 0..10 {
        let stop = client.cancel_token();
        let (done, raised) = mpsc::channel();
        thread::spawn(move || {
            let raised = Raised::by(&mut client, LONG);
            done.send((raised, client)).expect("the test waits");
        });
        until("all threads work", || (threads(pid) == Some(4)).then_some(()));
        stop.cancel_query(NoTls).expect("a cancel request");
        let raised = until("the search is cancelled", || raised.try_recv().ok());
        client = raised.1;
        assert_eq!(raised.0.code, "57014", "{:?}", raised.0);
        // They are joined before the error is sent.
        assert_eq!(threads(pid), Some(1), "round {round}");
        assert_eq!(cell(&mut client, SHORT).as_deref(), Some("t"));
        assert_eq!(threads(pid), Some(1), "round {round}");
    }

    // A timeout takes the same way, inside of an exception block too.
    client
        .batch_execute(&format!(
            "SET statement_timeout = '100ms';
             DO $$ BEGIN PERFORM ({LONG}); EXCEPTION WHEN query_canceled THEN NULL; END $$;
             SET statement_timeout = 0"
        ))
        .expect("the timeout is caught");
    assert_eq!(threads(pid), Some(1));
}

/// PostgreSQL frees the session's memory while the threads still run. Other sessions must not
/// notice.
#[test]
fn a_terminated_session_harms_no_other() {
    let cluster = cluster();
    let mut other = cluster.client();
    for _ in 0..10 {
        let (mut client, pid) = session(&cluster);
        let worker = thread::spawn(move || client.simple_query(LONG).map(drop));
        until("all threads work", || (threads(pid) == Some(4)).then_some(()));
        let terminate = format!("SELECT pg_terminate_backend({pid})");
        assert_eq!(cell(&mut other, &terminate).as_deref(), Some("t"));
        let error = worker.join().expect("no panic").expect_err("it was terminated");
        // The client may see the connection's end before it looks at the message.
        let code = error.code().map(postgres::error::SqlState::code);
        assert!(code == Some("57P01") || error.is_closed(), "{error:?}");
        let said = format!("{pid} postgres@postgres FATAL:  terminating connection");
        assert!(cluster.log().contains(&said), "{}", cluster.log());
        until("the process has gone", || threads(pid).is_none().then_some(()));
    }
    // A crash would have ended this session too.
    assert_eq!(cell(&mut other, "SELECT 1").as_deref(), Some("1"));
    assert!(!cluster.log().contains("terminated by signal"), "{}", cluster.log());
}

/// The measurement, and the environment variable that takes its place.
#[test]
fn the_backend_is_measured_or_forced() {
    let cluster = cluster();
    let mut client = cluster.client();
    let report = cell(&mut client, "SELECT scram.search_backend()").expect("a text");
    let (chosen, speeds) = report.split_once(" (passwords a second").expect("a measurement");
    let rate = |line: &str| {
        line.rsplit(' ').next().and_then(|n| n.trim_end_matches(')').parse::<f64>().ok())
    };
    let rates: Vec<_> = speeds.split(',').map(|one| rate(one).expect("a rate")).collect();
    assert!(rates.len() > 1 && rates.iter().all(|rate| *rate > 1.0), "{report}");
    assert!(speeds.contains(&format!(" {chosen} ")), "{report}");
    // Once a session: the numbers stay.
    assert_eq!(cell(&mut client, "SELECT scram.search_backend()").as_ref(), Some(&report));
    assert_eq!(cell(&mut client, SHORT).as_deref(), Some("t"));
}

#[test]
fn a_thousand_calls_leave_memory_flat() {
    let cluster = cluster();
    let (mut client, pid) = session(&cluster);
    let calls = "DO $$
        DECLARE v text := scram.generate('pencil', 4096);
                words text[] := (SELECT array_agg('w' || i) FROM generate_series(1, 40) i);
        BEGIN
            FOR i IN 1..250 LOOP
                ASSERT scram.match_any(v, words) IS NULL;
            END LOOP;
        END $$";
    // Caches and the heaps of the threads have their size after the first ones.
    client.batch_execute(calls).expect("calls");
    let before = resident(pid);
    for _ in 0..4 {
        client.batch_execute(calls).expect("calls");
    }
    let after = resident(pid);
    assert!(after <= before + 1024, "{before} kB before, {after} kB after 1000 calls");
    assert_eq!(threads(pid), Some(1));
}
