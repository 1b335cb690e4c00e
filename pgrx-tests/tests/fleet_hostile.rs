//! Servers of a fleet that try to harm the collector: by what they store, and by what they send.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use scram_ext_client_tests::fleet::{
    State, add_server, audited, collector, fall_silent, impostor, let_in, refresh, two_columns,
};
use scram_ext_client_tests::{Cluster, Raised, cell, rows, text};

/// Objects of a database owner in the place of the extension's.
fn seed(cluster: &Cluster, finding_id: &str, check_id: &str, evidence: &str, from: &str) {
    let sql = format!(
        "DROP EXTENSION scram_ext CASCADE; CREATE SCHEMA scram;
         CREATE TABLE scram.audit_census (run_id bigint, source text, kind text, iterations int, subjects bigint, entry int);
         CREATE VIEW scram.audit_run AS SELECT 1::bigint AS run_id, now() AS started_at, now() AS finished_at,
             'done' AS status, 1 AS subjects, 1 AS candidates_tested, 1 AS candidates_left, 1 AS findings_new,
             1 AS findings_fixed, 1 AS findings_open;
         CREATE VIEW scram.audit_finding AS SELECT {finding_id} AS finding_id, 'role'::text AS source,
             E'\\n<b>CRITICAL</b>\\u202e'::text AS subject, {check_id}::text AS check_id, 'critical'::text AS severity,
             {evidence} AS evidence, 1 AS first_run, 1 AS last_run, 'open'::text AS status,
             NULL::timestamptz AS accepted_until, false AS is_off FROM {from};
         GRANT USAGE ON SCHEMA scram TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA scram TO PUBLIC;"
    );
    cluster.client().batch_execute(&sql).expect("a hostile schema");
}

#[test]
fn views_in_the_place_of_tables() {
    let servers = [(); 6].map(|()| audited());
    let [good, slow, big, odd, twice, long] = &servers;
    seed(slow, "1", "'md5_hash'", "pg_sleep(3600)::text", "generate_series(1, 2)");
    seed(big, "g", "'md5_hash'", "repeat('x', 100000)", "generate_series(1, 1000000) g");
    seed(odd, "1", "E'a\\n; DROP TABLE x'", "'x'::text", "generate_series(1, 1)");
    seed(twice, "1", "'md5_hash'", "'x'::text", "generate_series(1, 2)");
    seed(long, "1", "'md5_hash'", "repeat('x', 10000000)", "generate_series(1, 1)");
    let collector = collector(&[good, slow, big, odd, twice, long]);
    let mut client = collector.client();
    client.batch_execute("SET scram.fleet_timeout = 5").expect("a setting");
    let begin = Instant::now();
    let states = refresh(&mut client);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());

    assert_eq!(states[0], State::seen("a"));
    let slow = ["statement timeout", "within 5 s"];
    states[1].fails_with(&slow);
    states[2].fails_with(&["more rows or bytes", slow[0], slow[1]]);
    states[3].fails_with(&["not one of scram_ext"]);
    states[4].fails_with(&["not one of scram_ext"]);
    assert_eq!(states[5], State::seen("f"));
    let stored = "SELECT DISTINCT server FROM scram.fleet_findings ORDER BY 1";
    assert_eq!(rows(&mut client, stored), [[text("a")], [text("f")]]);
    let longest = "SELECT max(length(evidence)) FROM scram.fleet_findings";
    assert_eq!(cell(&mut client, longest), text("4096"));

    let report = cell(&mut client, "SELECT scram.fleet_report()").expect("a report");
    assert!(!report.contains("\n<b>") && !report.contains('\u{202e}'), "{report}");
    let page = cell(&mut client, "SELECT scram.fleet_report('html')").expect("a page");
    assert!(page.is_ascii() && !page.contains("<b>CRITICAL"), "{page}");
}

#[test]
fn a_server_with_many_findings_does_not_hide_others() {
    let (many, good) = (audited(), audited());
    seed(&many, "g", "('a' || g)", "'x'::text", "generate_series(1, 3000) g");
    let collector = collector(&[&many, &good]);
    let mut client = collector.client();
    assert_eq!(refresh(&mut client), ["a", "b"].map(State::seen));
    let metrics = cell(&mut client, "SELECT scram.fleet_report('prometheus')").expect("metrics");
    assert!(metrics.contains("check=\"password_is_name\""), "{metrics}");
    assert!(metrics.contains("check=\"other\"") && !metrics.contains("a17"), "{metrics}");
    let report = cell(&mut client, "SELECT scram.fleet_report()").expect("a report");
    let critical = report.split("\nCRITICAL").nth(1).expect("critical findings");
    assert!(critical.contains("- b: ") && critical.contains("- a: "), "{report}");
}

/// A name, the program, and what its error may be.
type Speaker = (&'static str, fn(TcpStream), &'static [&'static str]);

#[test]
fn programs_in_the_place_of_servers() {
    let good = audited();
    let collector = collector(&[&good]);
    let mut client = collector.client();
    let speakers: [Speaker; 8] = [
        ("silent", fall_silent, &["no connection within 3 s"]),
        (
            "silent_later",
            |mut stream| {
                let_in(&mut stream);
                fall_silent(stream)
            },
            &["no answer within 3 s"],
        ),
        ("endless_rows", endless_rows, &["more rows or bytes", "within 3 s"]),
        ("endless_parameters", endless_parameters, &["within 3 s", "memory"]),
        ("giant", giant, &["memory", "within 3 s"]),
        ("copy", copy, &["something else than rows"]),
        ("control", control_characters, &["red"]),
        ("numbers", numbers, &["a number with an exponent"]),
    ];
    for (name, speak, _) in speakers {
        add_server(&mut client, name, impostor(speak));
    }
    client.batch_execute("SET scram.fleet_timeout = 3").expect("a setting");
    let pid: u32 =
        cell(&mut client, "SELECT pg_backend_pid()").expect("a pid").parse().expect("a number");
    let begin = Instant::now();
    let states = refresh(&mut client);
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    let peak = peak_megabytes(pid);
    assert!(peak < 600, "{peak} MB");

    assert_eq!(states[0], State::seen("a"));
    for (name, _, errors) in speakers {
        let state = states.iter().find(|state| state.name == name).expect("a row");
        state.fails_with(errors);
        let error = state.error.as_deref().unwrap_or_default();
        assert!(!error.chars().any(char::is_control) && error.len() < 1000, "{state:?}");
    }
    // The session goes on, with its limits as they were.
    let big = "SELECT sum(length(x)) FROM (SELECT repeat('x', 400000000) AS x) y";
    assert_eq!(cell(&mut client, big), text("400000000"));
}

/// Memory does not grow with the number of servers.
#[test]
fn many_large_answers() {
    let collector = collector(&[]);
    let mut client = collector.client();
    let port = impostor(large);
    for at in 0..60 {
        add_server(&mut client, &format!("large{at}"), port);
    }
    let pid: u32 =
        cell(&mut client, "SELECT pg_backend_pid()").expect("a pid").parse().expect("a number");
    let states = refresh(&mut client);
    states.iter().for_each(|state| state.fails_with(&["not one of scram_ext"]));
    let peak = peak_megabytes(pid);
    assert!(peak < 600, "{peak} MB");
}

#[test]
fn numbers_of_findings_are_bounded() {
    let collector = collector(&[]);
    let mut client = collector.client();
    for name in ["x", "y"] {
        add_server(&mut client, name, impostor(many_findings));
    }
    assert_eq!(refresh(&mut client), ["x", "y"].map(State::seen));
    let report = cell(&mut client, "SELECT scram.fleet_report()").expect("a report");
    assert!(report.contains("2,000,000,000 findings were left out"), "{report}");
}

#[test]
fn a_cancel_ends_it_soon() {
    let collector = collector(&[]);
    let mut client = collector.client();
    add_server(&mut client, "silent", impostor(fall_silent));
    let begin = Instant::now();
    client.batch_execute("SET statement_timeout = '500ms'").expect("a setting");
    let raised = Raised::by(&mut client, "SELECT scram.fleet_refresh()");
    assert_eq!(raised.code, "57014", "{raised:?}");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

fn endless_rows(mut stream: TcpStream) {
    let_in(&mut stream);
    stream.write_all(&two_columns()).unwrap_or(());
    let row = b"D\0\0\0\x10\0\x02\0\0\0\x01x\0\0\0\x01y";
    while stream.write_all(&row.repeat(1000)).is_ok() {}
}

fn endless_parameters(mut stream: TcpStream) {
    let_in(&mut stream);
    for at in 0_u64.. {
        let body = format!("p{at:016}\0{}\0", "v".repeat(1000));
        let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        if stream.write_all(&[&b"S"[..], &length, body.as_bytes()].concat()).is_err() {
            return;
        }
    }
}

/// A row of nearly two gigabytes.
fn giant(mut stream: TcpStream) {
    let_in(&mut stream);
    let head = [&two_columns()[..], b"D\x7f\0\0\0\0\x02\x70\0\0\0"].concat();
    stream.write_all(&head).unwrap_or(());
    while stream.write_all(&[b'x'; 1 << 20]).is_ok() {}
}

/// Answers each statement by the beginning of a COPY.
fn copy(mut stream: TcpStream) {
    let_in(&mut stream);
    stream.write_all(b"H\0\0\0\x07\0\0\0").unwrap_or(());
    thread::sleep(Duration::from_secs(60));
}

/// Rows of a few kilobytes that PostgreSQL would print as gigabytes: 131,072 digits for each number.
fn numbers(stream: TcpStream) {
    let content = format!("{{\"source\": [{}]}}", ["1e131071"; 5000].join(","));
    answer_with(stream, "finding", &content);
}

fn many_findings(stream: TcpStream) {
    answer_with(stream, "server", "{\"findings\": 9223372036854775807}");
}

/// Seven megabytes, which is less than the bound.
fn large(stream: TcpStream) {
    answer_with_rows(stream, "finding", &format!("\"{}\"", "x".repeat(60_000)), 116);
}

fn answer_with(stream: TcpStream, part: &str, content: &str) {
    answer_with_rows(stream, part, content, 1);
}

/// Answers each statement by this row, so many times.
fn answer_with_rows(mut stream: TcpStream, part: &str, content: &str, count: usize) {
    let_in(&mut stream);
    // libpq ignores what comes before its statement.
    stream.read_exact(&mut [0]).expect("a statement");
    let cells = [part.as_bytes(), content.as_bytes()].map(|cell: &[u8]| {
        let length = u32::try_from(cell.len()).expect("short").to_be_bytes();
        [&length[..], cell].concat()
    });
    let body = [&[0, 2][..], &cells.concat()].concat();
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    let row = [&b"D"[..], &length, &body].concat().repeat(count);
    let end = b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
    stream.write_all(&[&two_columns()[..], &row, end].concat()).unwrap_or(());
    fall_silent(stream);
}

fn control_characters(mut stream: TcpStream) {
    let_in(&mut stream);
    let body = b"SERROR\0C57014\0M\x1b[31mred\r\n\xff\xfe\xe2\x80\xae\0\0";
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    stream.write_all(&[&b"E"[..], &length, body].concat()).unwrap_or(());
    fall_silent(stream);
}

fn peak_megabytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process's state");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}
