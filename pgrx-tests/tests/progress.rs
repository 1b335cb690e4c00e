//! A run while it goes on: how far it is, and that it is interrupted as soon as it is.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Config, NoTls};
use scram_ext_client_tests::{Cluster, cell, make_role, rows, until};

const STATUS: &str = "SELECT status FROM scram.audit_run ORDER BY run_id DESC LIMIT 1";

/// Without another run, and for a role that may do nothing else.
#[test]
fn a_killed_run_is_interrupted_at_the_first_look() {
    let cluster = Cluster::builder().hba("local replication all trust").start();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE ROLE reader LOGIN; GRANT SELECT ON scram.audit_run TO reader",
        )
        .expect("a reader");
    let mut reader = cluster.client_as("reader", "postgres");
    client.batch_execute("CALL scram.run_audit()").expect("a run");
    client.batch_execute("BEGIN; LOCK scram.audit_finding").expect("a lock");
    let mut session = cluster.client();
    let running = thread::spawn(move || session.batch_execute("CALL scram.run_audit()"));
    let waiting =
        "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'scram.audit_finding'::regclass";
    let pid = until("the run waits", || rows(&mut client, waiting).pop()?.pop()?);
    assert_eq!(cell(&mut reader, STATUS).as_deref(), Some("running"));

    let standby = cluster.standby();
    assert_eq!(cell(&mut standby.client(), STATUS).as_deref(), Some("running"));

    rows(&mut client, &format!("SELECT pg_terminate_backend({pid})"));
    assert!(running.join().expect("the thread").is_err(), "it was killed");
    until("it is gone", || (cell(&mut reader, STATUS)? == "interrupted").then_some(()));
    client.batch_execute("ROLLBACK").expect("the lock is gone");
    let text = cell(&mut client, "SELECT scram.audit_report()").expect("a report");
    assert!(text.contains(", interrupted: "), "{text}");
    assert_eq!(rows(&mut client, "SELECT * FROM scram.audit_progress()").len(), 0);
    // It can be removed like any other.
    let removed = "SELECT scram.prune_audit('0') FROM pg_sleep(0.1)";
    assert_eq!(cell(&mut client, removed).as_deref(), Some("2"));
}

#[test]
fn a_run_tells_how_far_it_is() {
    let (mut session, cluster, told) = slow_run();
    let cancel = session.cancel_token();
    let running = thread::spawn(move || session.batch_execute("CALL scram.run_audit('40 s')"));
    let mut client = cluster.client();
    let progress =
        "SELECT stage, source IS NULL, tried > 0, remaining > 0, rate > 0, nights_left > 0,
                           deadline BETWEEN now() AND now() + interval '40 s'
                    FROM scram.audit_progress()";
    let guessing = ["guessing", "t", "t", "t", "t", "t", "t"].map(|text| Some(text.to_owned()));
    until("it guesses", || (*rows(&mut client, progress).first()? == guessing).then_some(()));
    let begun = Instant::now();
    until("it has told", || (!told.lock().expect("texts").is_empty()).then_some(()));
    assert!(begun.elapsed() > Duration::from_secs(5), "not at once");
    cancel.cancel_query(NoTls).expect("a cancel");
    assert!(running.join().expect("the thread").is_err());
    let text = told.lock().expect("texts").join("\n");
    assert!(text.starts_with("audit run 1: ") && text.contains(" passwords tried, "), "{text}");
    assert!(text.ends_with(" more nights like this one"), "{text}");
}

/// Neither a short run nor one of pg_cron's.
#[test]
fn other_runs_tell_nothing() {
    let (mut session, _cluster, told) = slow_run();
    session.batch_execute("CALL scram.run_audit('12 s')").expect("a run");
    session.batch_execute("SET application_name = 'pg_cron'").expect("a name");
    let cancel = session.cancel_token();
    let running = thread::spawn(move || session.batch_execute("CALL scram.run_audit('40 s')"));
    thread::sleep(Duration::from_secs(13));
    cancel.cancel_query(NoTls).expect("a cancel");
    assert!(running.join().expect("the thread").is_err());
    assert_eq!(*told.lock().expect("texts"), [""; 0]);
}

/// The built-in list, while there is none of one's own.
#[test]
fn common_words_are_tried_without_a_list() {
    let cluster = Cluster::builder().conf("scram.builtin_words = 1000").start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    // The second word of the list, the 1000th and the next one.
    make_role(&mut client, "second", "scram.generate('password', 4096)");
    make_role(&mut client, "last", "scram.generate('cobra', 4096)");
    make_role(&mut client, "beyond", "scram.generate('engineer', 4096)");
    let found = "SELECT string_agg(subject, ' ' ORDER BY subject) FROM scram.audit_finding
                 WHERE check_id = 'password_in_wordlist' AND status = 'open'";
    for (set, expected) in [
        ("", Some("last second")),
        ("SET scram.builtin_words = 1001", Some("beyond last second")),
        ("SET scram.builtin_words = 2", Some("second")),
        ("SET scram.builtin_words = 0", None),
        (
            "SET scram.builtin_words = 1000; INSERT INTO scram.wordlist VALUES ('engineer')",
            Some("beyond"),
        ),
    ] {
        client.batch_execute(set).expect(set);
        client.batch_execute("CALL scram.run_audit()").expect("a run");
        assert_eq!(cell(&mut client, found).as_deref(), expected, "{set}");
    }
    let words = "SELECT count(*) FROM scram.wordlist";
    assert_eq!(cell(&mut client, words).as_deref(), Some("1"));
}

/// A session, on a server where a run has work for a long time, and the notices that the session gets.
fn slow_run() -> (postgres::Client, Cluster, Arc<Mutex<Vec<String>>>) {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    make_role(&mut client, "slow", "scram.generate('Zq8-unlike', 200000)");
    client
        .batch_execute(
            "INSERT INTO scram.wordlist SELECT 'Zq8' || i FROM generate_series(1, 9000) i",
        )
        .expect("words");
    let told = Arc::new(Mutex::new(Vec::new()));
    let texts = Arc::clone(&told);
    let session = Config::new()
        .host_path(cluster.dir())
        .port(cluster.port())
        .user("postgres")
        .dbname("postgres")
        .notice_callback(move |notice| {
            texts.lock().expect("texts").push(notice.message().to_owned())
        })
        .connect(NoTls)
        .expect("a session");
    (session, cluster, told)
}
