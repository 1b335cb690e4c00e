//! Attacks on memory: no argument, however long, makes an allocation fail in Rust. A failed one
//! would abort the process, and the server would end all sessions.

use postgres::Client;
use scram_ext_client_tests::{Cluster, cell, rows, text};

/// A process's memory on a container host, and an argument so large that a few copies fill it. Most
/// tests use a quarter and a fifth of both, because making a gigabyte takes seconds.
const ADDRESS_SPACE: u64 = 1024 * 1024 * 1024;

const HUGE: &str = "repeat('x', 200000000)";

fn cluster(address_space: u64) -> Cluster {
    let cluster = Cluster::builder().address_space(address_space).start();
    cluster
        .client()
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE ROLE someone LOGIN;
             CREATE TABLE v AS SELECT scram.generate('pencil') AS v",
        )
        .expect("the extension");
    cluster
}

/// SQLSTATE, or the answer.
fn outcome(client: &mut Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    match client.simple_query(sql) {
        Ok(messages) => Ok(messages
            .iter()
            .filter_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
                }
                _ => None,
            })
            .collect()),
        Err(error) => {
            let code = error.code().map(|code| code.code().to_owned());
            Err(code.unwrap_or_else(|| panic!("the connection is lost: {error}\n{sql}")))
        }
    }
}

/// Each function, with each of its long arguments in turn.
#[test]
fn every_argument_can_be_of_any_length() {
    let cluster = cluster(ADDRESS_SPACE);
    let mut other = cluster.client();
    let mut session = cluster.client();
    let since = "SELECT pg_postmaster_start_time(), pg_backend_pid()";
    let before = rows(&mut other, since);

    let functions = "
        SELECT p.oid::regproc::text, a.type::regtype::text
        FROM pg_proc p
        JOIN pg_namespace n ON n.oid = p.pronamespace
        CROSS JOIN LATERAL unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a(type, number)
        WHERE n.nspname IN ('scram', 'scram_internal') AND p.prorettype <> 'trigger'::regtype AND p.proname <> 'run_audit'
            AND obj_description(p.oid, 'pg_proc') NOT LIKE 'internal%'
        ORDER BY p.oid, a.number";
    let mut calls: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows(&mut other, functions) {
        let row: Vec<String> = row.into_iter().map(|cell| cell.expect("no NULL")).collect();
        let [function, type_name] = <[String; 2]>::try_from(row).expect("two columns");
        match calls.last_mut() {
            Some((last, types)) if *last == function => types.push(type_name),
            _ => calls.push((function, vec![type_name])),
        }
    }
    let plain = |type_name: &str| match type_name {
        "text" => "'x'::text".to_owned(),
        "name" => "'someone'::name".to_owned(),
        "bytea" => r"'\x00'::bytea".to_owned(),
        "text[]" => "ARRAY['x']".to_owned(),
        "integer" | "bigint" | "oid" => format!("1::{type_name}"),
        "boolean" => "false".to_owned(),
        other => format!("NULL::{other}"),
    };
    let mut tried = 0;
    for (function, types) in &calls {
        for (place, type_name) in types.iter().enumerate() {
            let long = match &**type_name {
                "text" => HUGE.to_owned(),
                "bytea" => format!("{HUGE}::bytea"),
                "text[]" => "ARRAY['x', repeat('x', 100000000), repeat('y', 80000000)]".to_owned(),
                _ => continue,
            };
            let mut list: Vec<_> = types.iter().map(|type_name| plain(type_name)).collect();
            list[place] = long;
            let sql = format!("SELECT count(*) FROM {function}({}) f", list.join(", "));
            let _ = outcome(&mut session, &sql);
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried} calls");
    assert_eq!(rows(&mut other, since), before, "the server has restarted its sessions");
}

/// These functions answer a text that is too long like any other text that is no verifier, no
/// message and no password.
#[test]
fn what_is_too_long_is_answered_as_ever() {
    let cluster = cluster(ADDRESS_SPACE);
    let mut client = cluster.client();
    let message = |prefix: &str| format!("'{prefix}' || repeat('a=b,', 40000000)");
    let verifier = format!("'SCRAM-SHA-256$4096:' || {HUGE}");
    let cases: Vec<(String, Result<&str, &str>)> = vec![
        (format!("SELECT scram.identify({HUGE})"), Ok("unknown")),
        (format!("SELECT scram.identify({verifier})"), Ok("unknown")),
        ("SELECT scram.identify('SCRAM-SHA-256$' || repeat('x', 65536))".to_owned(), Ok("unknown")),
        (format!("SELECT scram.is_verifier({verifier})"), Ok("f")),
        (format!("SELECT scram.needs_rotation({verifier})"), Err("22P02")),
        (format!("SELECT scram.parse({verifier})"), Err("22P02")),
        (format!("SELECT scram.verify('x', {verifier})"), Err("22P02")),
        (format!("SELECT scram.verify({HUGE}, v) FROM v"), Err("22023")),
        (format!("SELECT scram.generate({HUGE})"), Err("22023")),
        (
            "SELECT scram.generate('x', salt => repeat('x', 20000000)::bytea)".to_owned(),
            Err("22023"),
        ),
        (format!("SELECT scram.match_any(v, ARRAY['x', 'pencil', {HUGE}]) FROM v"), Ok("2")),
        (format!("SELECT scram.match_any(v, ARRAY['x', {HUGE}]) FROM v"), Err("22023")),
        (
            format!("SELECT error FROM scram.handshake_start({}, NULL)", message("n,,n=u,r=x,")),
            Ok("other-error"),
        ),
        (
            format!("SELECT scram.handshake_start('n,,n=,r=x', NULL, username => {HUGE})"),
            Err("22023"),
        ),
        (
            "SELECT scram.handshake_finish(repeat('x', 20000000)::bytea, 'x', NULL)".to_owned(),
            Err("22023"),
        ),
        (
            format!(
                "SELECT f.error FROM scram.handshake_start('n,,n=u,r=x', NULL) s,
                 scram.handshake_finish(s.state, {}, NULL) f",
                message("c=biws,r=x,")
            ),
            Ok("other-error"),
        ),
        (format!("SELECT scram.username({}) IS NULL", message("n,,n=u,r=x,")), Ok("t")),
        (format!("SELECT name FROM scram.explain({})", message("c=")), Ok("fault")),
        (
            format!("SELECT scram.create_rotation({HUGE}, 'someone', 'someone', 'someone')"),
            Err("22023"),
        ),
        (format!("SELECT action FROM scram.set_role_password('someone', {HUGE})"), Err("22023")),
        (
            format!("SELECT action FROM scram.set_role_verifier('someone', {verifier})"),
            Err("22P02"),
        ),
        (format!("SELECT scram.verify_role('someone', {HUGE})"), Err("22023")),
        (format!("SELECT scram.audit_report({HUGE})"), Err("22023")),
        (
            format!("SELECT scram.handshake('pencil', v, client_nonce => {HUGE}) FROM v"),
            Err("22023"),
        ),
    ];
    for (sql, expected) in cases {
        let found = outcome(&mut client, &sql);
        let found = found.as_ref().map(|rows| rows[0][0].as_deref().unwrap_or("NULL"));
        assert_eq!(found.map_err(|code| &**code), expected, "{sql}");
    }
    // Candidates are copied in bounded parts, because a copy of all of them would not fit.
    let many = "SELECT scram.match_any(v, array_agg(repeat('x', 1000000) || i)) IS NULL
                FROM v, generate_series(1, 200) i GROUP BY v";
    assert_eq!(cell(&mut client, many), text("t"));
    assert_eq!(cell(&mut client, "SELECT 1"), text("1"));
}

/// The two statements that ended a server, at their full size.
#[test]
fn a_gigabyte_ends_no_server() {
    let cluster = cluster(4 * ADDRESS_SPACE);
    let mut other = cluster.client();
    let mut session = cluster.client();
    for (sql, expected) in [
        ("SELECT scram.identify(repeat('x', 1000000000))", "unknown"),
        ("SELECT name FROM scram.explain('c=' || repeat('a=b,', 200000000))", "fault"),
    ] {
        assert_eq!(cell(&mut session, sql).as_deref(), Some(expected), "{sql}");
    }
    assert_eq!(cell(&mut other, "SELECT 1"), text("1"));
}

/// More than one thread is reserved to callers who may run the audit.
#[test]
fn a_plain_user_searches_on_one_thread() {
    let cluster = Cluster::builder().conf("scram.search_threads = 4").start();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE ROLE plain LOGIN; CREATE ROLE auditor LOGIN;
             GRANT EXECUTE ON PROCEDURE scram.run_audit(interval, bigint) TO auditor;
             CREATE TABLE v AS SELECT scram.generate('pencil', 1000000) AS v;
             GRANT SELECT ON v TO PUBLIC",
        )
        .expect("roles");
    for (role, expected) in [("plain", 1), ("auditor", 4)] {
        let mut client = cluster.client_as(role, "postgres");
        let pid = cell(&mut client, "SELECT pg_backend_pid()").expect("a process");
        let stop = client.cancel_token();
        let search = std::thread::spawn(move || {
            client.simple_query(
                "SELECT scram.match_any(v, (SELECT array_agg('w' || i) FROM generate_series(1, 10000) i)) FROM v",
            )
        });
        let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads").count();
        // The threads are there as soon as the search uses the processor.
        let ticks = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
            let fields: Vec<_> =
                stat.rsplit(')').next().expect("fields").split_whitespace().collect();
            fields[11].parse::<u64>().expect("ticks")
        };
        let before = ticks();
        scram_ext_client_tests::until("the search has begun", || {
            (ticks() > before + 20).then_some(())
        });
        assert_eq!(threads(), expected, "{role}");
        stop.cancel_query(postgres::NoTls).expect("a cancel");
        assert!(search.join().expect("a search").is_err());
    }
}

/// An array of nulls is printed in forty times its own length: the memory of a batch of them is bounded.
#[test]
fn printed_subjects_are_not_held_together() {
    let cluster = cluster(ADDRESS_SPACE);
    let mut other = cluster.client();
    let mut session = cluster.client();
    session
        .batch_execute(
            "CREATE TABLE wide (subject integer[], secret text);
             INSERT INTO wide SELECT array_fill(NULL::integer, ARRAY[500000]), 'x' FROM generate_series(1, 1000);
             SELECT scram.add_audit_source('wide', 'wide', 'subject', 'secret')",
        )
        .expect("2.5 GB as text");
    let found = "SELECT evidence ~ 'and 999 more rows of this name' FROM scram.audit() WHERE source = 'wide'";
    assert_eq!(rows(&mut session, found), [[text("t")]]);
    assert_eq!(cell(&mut other, "SELECT 1").as_deref(), Some("1"));
}
