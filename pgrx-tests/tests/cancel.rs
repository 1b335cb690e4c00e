//! Long derivations: refused by `scram.max_iterations`, and where that is raised, stopped by a
//! timeout or a cancel. Two thousand million iterations take half an hour: a call that didn't stop
//! would show.

use std::sync::mpsc;
use std::thread;

use postgres::NoTls;
use scram_ext_client_tests::{Cluster, Raised, cell, until};

const KEYS: &str = "W22ZaJ0SNY7soEsUEjb6gQ==\
    $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// Calls that would derive keys with that many iterations. With constants some of them run as
/// early as at planning; with a column they don't.
const LONG: &[&str] = &[
    "SELECT scram.verify('pencil', 'SCRAM-SHA-256$2000000000:{keys}')",
    "SELECT scram.verify('pencil', v) FROM stored",
    "SELECT scram.match_any('SCRAM-SHA-256$2000000000:{keys}', '{a,b,pencil}')",
    "SELECT scram.match_any(v, '{a,b,pencil}') FROM stored",
    "SELECT scram.generate('pencil', 2000000000)",
    "SELECT scram.generate('pencil', 2000000000, mechanism => 'SCRAM-SHA-512')",
    "SELECT scram.generate('pencil', 2000000000, mechanism => 'SCRAM-SHA-1')",
    "SELECT * FROM scram.handshake('pencil', 'SCRAM-SHA-256$2000000000:{keys}')",
];

#[test]
fn long_derivations_are_refused_or_stopped() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let table = "CREATE TABLE stored AS SELECT 'SCRAM-SHA-256$2000000000:{keys}' AS v";
    client.batch_execute(&table.replace("{keys}", KEYS)).expect("a table");

    for sql in LONG {
        let raised = Raised::by(&mut client, &sql.replace("{keys}", KEYS));
        assert_eq!(raised.code, "22023", "{sql}: {raised:?}");
        assert!(raised.detail.unwrap_or_default().contains("1000000"), "{sql}");
    }
    // Parsing a verifier derives no key, so its count may be huge.
    for sql in [
        "SELECT iterations = 2000000000 FROM stored, scram.parse(v)",
        "SELECT scram.is_verifier(v) FROM stored",
        "SELECT scram.identify(v) = 'scram-sha-256' FROM stored",
    ] {
        assert_eq!(cell(&mut client, sql).as_deref(), Some("t"), "{sql}");
    }

    client
        .batch_execute("SET scram.max_iterations = 2147483647; SET statement_timeout = '50ms'")
        .expect("the settings");
    for sql in LONG {
        let raised = Raised::by(&mut client, &sql.replace("{keys}", KEYS));
        assert_eq!(raised.code, "57014", "{sql}: {raised:?}");
        assert_eq!(cell(&mut client, "SELECT 1").as_deref(), Some("1"), "{sql}");
    }
    client.batch_execute("SET statement_timeout = 0").expect("the setting");

    // A cancel from outside, as psql's Ctrl-C sends it.
    let stop = client.cancel_token();
    let pid = cell(&mut client, "SELECT pg_backend_pid()").expect("a pid");
    let (done, raised) = mpsc::channel();
    thread::spawn(move || {
        let raised = Raised::by(&mut client, "SELECT scram.verify('pencil', v) FROM stored");
        done.send((raised, client)).expect("the test waits");
    });
    let mut other = cluster.client();
    let active = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE pid = {pid} AND state = 'active' AND query LIKE '%scram.verify%'"
    );
    until("the other session derives", || {
        (cell(&mut other, &active).as_deref() == Some("1")).then_some(())
    });
    let (raised, mut client) = until("the derivation is cancelled", || {
        // Repeat the request, because the server drops a cancel that comes before the statement has
        // begun.
        stop.cancel_query(NoTls).expect("a cancel request");
        raised.try_recv().ok()
    });
    assert_eq!(raised.code, "57014", "{raised:?}");
    until("no late cancel is on its way", || client.simple_query("SELECT 1").ok());
}
