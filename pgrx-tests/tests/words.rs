//! Passwords that an audit tries: each once on each secret, within its time, on its threads.

use std::fs;
use std::io::Write;
use std::thread;

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, Run, cell, make_role, rows, until};

#[test]
fn words_come_in_by_every_way() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE auditor LOGIN;
             GRANT EXECUTE ON FUNCTION scram.load_wordlist() TO auditor;
             GRANT SELECT, INSERT, DELETE ON scram.wordlist TO auditor",
        )
        .expect("an auditor");
    let mut client = cluster.client_as("auditor", "postgres");
    let load = "SELECT scram.load_wordlist()";
    assert_eq!(number(&mut client, load), 10_000);
    assert_eq!(number(&mut client, load), 0);
    client.batch_execute("DELETE FROM scram.wordlist WHERE word ~ '^123'").expect("deleted");
    let missing = 10_000 - number(&mut client, "SELECT count(*) FROM scram.wordlist");
    assert!(missing > 10, "{missing}");
    assert_eq!(number(&mut client, load), missing);

    client
        .batch_execute("INSERT INTO scram.wordlist VALUES ('Zq8 own'), ('')")
        .expect("own words, the empty one too");
    let mut copy = client.copy_in("COPY scram.wordlist FROM STDIN").expect("COPY");
    copy.write_all("Zq8-copied\nZq8-kopiért\n".as_bytes()).expect("words");
    assert_eq!(copy.finish().expect("COPY"), 2);
    let own = "SELECT count(*) FROM scram.wordlist WHERE word LIKE 'Zq8%'";
    assert_eq!(number(&mut client, own), 3);

    for (word, code) in [("repeat('x', 1025)", "23514"), ("NULL", "23502"), ("'Zq8 own'", "23505")]
    {
        let sql = format!("INSERT INTO scram.wordlist VALUES ({word})");
        assert_eq!(Raised::by(&mut client, &sql).code, code, "{word}");
    }
    client.batch_execute("INSERT INTO scram.wordlist VALUES (repeat('x', 1024))").expect("fits");
}

#[test]
fn each_word_is_tried_once_on_each_secret() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for role in ["ann", "bob", "cid"] {
        make_role(&mut client, role, &format!("scram.generate('Zq8-unlike-{role}', 1)"));
    }
    client
        .batch_execute(
            "INSERT INTO scram.wordlist SELECT 'Zq8-word' || i FROM generate_series(1, 500) i",
        )
        .expect("words");

    let first = Run::call(&mut client);
    assert_eq!((&*first.status, first.left), ("done", 0));
    assert_eq!(first.tested, all_candidates(&mut client), "every candidate on every secret");
    assert!(first.tested >= 3 * 500);
    assert_eq!(Run::call(&mut client).tested, 0, "nothing has changed");

    // A new word: once on every secret.
    client.batch_execute("INSERT INTO scram.wordlist VALUES ('Zq8-new')").expect("a word");
    assert_eq!(Run::call(&mut client).tested, 3);
    assert_eq!(Run::call(&mut client).tested, 0);

    // If a secret changes or a role is new, all candidates are tried on it, and none on the others.
    let on = |client: &mut Client, role: &str| {
        let sql = format!(
            "SELECT by_name + (SELECT count(*) FROM scram_internal.candidate)
             FROM scram_internal.stored_secret JOIN scram_internal.role_secret USING (digest)
             WHERE subject = '{role}'"
        );
        number(client, &sql)
    };
    // One iteration as before, so that only the password of the new secret differs.
    let change = "SET scram.min_iterations = 1;
                  UPDATE pg_authid SET rolpassword = scram.generate('Zq8-changed', 1) WHERE rolname = 'ann'";
    client.batch_execute(change).expect("a change");
    let tested = Run::call(&mut client).tested;
    assert_eq!(tested, on(&mut client, "ann"));
    make_role(&mut client, "dan", "scram.generate('Zq8-other', 1)");
    let tested = Run::call(&mut client).tested;
    assert_eq!(tested, on(&mut client, "dan"));
    // So is a name: it suggests other passwords.
    client.batch_execute("ALTER ROLE dan RENAME TO dora").expect("a name");
    let tested = Run::call(&mut client).tested;
    assert_eq!(tested, on(&mut client, "dora"));
    // Setting the same secret again is no change.
    let same = "SELECT format('ALTER ROLE dora PASSWORD %L', rolpassword) FROM pg_authid WHERE rolname = 'dora'";
    let same = cell(&mut client, same).expect("a statement");
    client.batch_execute(&same).expect("set again");
    assert_eq!(Run::call(&mut client).tested, 0);
    assert_eq!(guessed(&mut client), [""; 0]);
}

#[test]
fn a_word_finds_its_secrets_and_goes_with_its_findings() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    make_role(&mut client, "by_scram", "scram.generate('Zq8-word', 1)");
    make_role(&mut client, "by_md5", "'md5' || md5('Zq8-wordby_md5')");
    make_role(&mut client, "by_both", "scram.generate('by_both', 1)");
    make_role(&mut client, "by_none", "scram.generate('Zq8-unlike', 1)");
    make_role(&mut client, "shop_user", "scram.generate('shop123', 1)");
    client
        .batch_execute(
            "CREATE TABLE account (name text, secret text);
             INSERT INTO account VALUES ('ann', scram.generate('Zq8-word')), ('bob', scram.generate('Zq8-unlike'));
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret');
             INSERT INTO scram.wordlist VALUES ('Zq8-first'), ('Zq8-word'), ('by_both'), ('Zq8-last')",
        )
        .expect("a source and words");
    let by_name = "by_both password_is_name";
    Run::call(&mut client);
    let all = [
        "ann password_in_wordlist",
        "by_both password_in_wordlist",
        by_name,
        "by_md5 password_in_wordlist",
        "by_scram password_in_wordlist",
    ];
    assert_eq!(guessed(&mut client), all);
    // The word is in no finding, no report, no table kept between two runs, and not in the log.
    let told = "SELECT f::text FROM scram.audit_finding f UNION ALL SELECT t::text FROM scram_internal.stored_secret t
                UNION ALL SELECT t::text FROM scram_internal.guess_hit t
                UNION ALL SELECT scram.audit_report(x) FROM unnest('{text,json,html,prometheus}'::text[]) x";
    for row in rows(&mut client, told) {
        let text = row[0].as_deref().unwrap_or_default();
        assert!(!text.contains("Zq8"), "{text}");
    }
    assert!(!cluster.log().contains("Zq8-word"));

    // Once a password is known, only new guesses of another kind are worth a try.
    assert_eq!(Run::call(&mut client).tested, 0);
    client.batch_execute("DELETE FROM scram.wordlist WHERE word = 'Zq8-first'").expect("deleted");
    Run::call(&mut client);
    assert_eq!(guessed(&mut client), all, "another word than theirs");
    client.batch_execute("DELETE FROM scram.wordlist WHERE word = 'Zq8-word'").expect("deleted");
    Run::call(&mut client);
    assert_eq!(guessed(&mut client), ["by_both password_in_wordlist", by_name]);
    client.batch_execute("INSERT INTO scram.wordlist VALUES ('Zq8-word')").expect("back");
    Run::call(&mut client);
    assert_eq!(guessed(&mut client), all);
    let times = "SELECT string_agg(status, ' ' ORDER BY finding_id) FROM scram.audit_finding
                 WHERE subject = 'by_scram' AND check_id = 'password_in_wordlist'";
    assert_eq!(cell(&mut client, times).as_deref(), Some("fixed open"));

    // A name of the server's is such a word.
    client.batch_execute("CREATE DATABASE shop").expect("a database");
    let run = Run::call(&mut client);
    assert!(guessed(&mut client).contains(&"shop_user password_is_name".to_owned()));
    assert_eq!((run.new, &*run.status), (1, "done"));
    client.batch_execute("DROP DATABASE shop").expect("dropped");
    Run::call(&mut client);
    assert_eq!(guessed(&mut client), all);
}

#[test]
fn a_run_ends_with_its_time_and_the_next_one_goes_on() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for i in 0..8 {
        make_role(&mut client, &format!("r{i}"), &format!("scram.generate('Zq8-unlike-{i}')"));
    }
    make_role(&mut client, "last", "scram.generate('Zq8-word4000')");
    client
        .batch_execute(
            "INSERT INTO scram.wordlist SELECT 'Zq8-word' || i FROM generate_series(1, 4000) i",
        )
        .expect("words");

    let mut runs = vec![Run::call_with(&mut client, "budget => '1 ms'")];
    let total = all_candidates(&mut client);
    while runs.last().expect("a run").status != "done" {
        assert!(runs.len() < 500, "it never ends: {runs:?}");
        runs.push(Run::call_with(&mut client, "budget => '1 ms'"));
    }
    assert!(runs.len() > 2, "the work was to take several times the least time: {runs:?}");
    let mut left = total;
    for run in &runs {
        assert!(run.tested > 0, "each goes on: {runs:?}");
        left -= run.tested;
        assert_eq!(run.left, left, "what is tried is not left, and the other way round: {runs:?}");
        assert_eq!(run.status, if left == 0 { "done" } else { "partial" });
    }
    assert_eq!(left, 0);
    assert_eq!(guessed(&mut client), ["last password_in_wordlist"]);
    assert_eq!(Run::call_with(&mut client, "budget => '1 ms'").tested, 0);
}

/// A run ends before the session's statement_timeout would end it with an error.
#[test]
fn a_run_ends_before_the_sessions_timeout() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    make_role(&mut client, "ann", "scram.generate('Zq8-unlike', 100000)");
    client
        .batch_execute(
            "INSERT INTO scram.wordlist SELECT 'Zq8-word' || i FROM generate_series(1, 9000) i;
             SET statement_timeout = '8 s'",
        )
        .expect("words");
    let run = Run::call_with(&mut client, "budget => '1 h'");
    assert_eq!(run.status, "partial", "{run:?}");
    assert!(run.tested > 0 && run.left > 0, "{run:?}");
}

#[test]
fn a_secret_that_would_take_too_long_is_not_tried_and_said_so() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("LOAD 'scram_ext'").expect("the library");
    client.batch_execute("ALTER SYSTEM SET scram.max_iterations = 5000").expect("a setting");
    client.batch_execute("SELECT pg_reload_conf()").expect("a signal");
    let maximum = "SHOW scram.max_iterations";
    until("it has the setting", || (cell(&mut client, maximum)? == "5000").then_some(()));
    client.batch_execute("SET scram.max_iterations = 30000").expect("to make one");
    make_role(&mut client, "slow", "scram.generate('slow', 30000)");
    client.batch_execute("RESET scram.max_iterations").expect("the setting again");
    make_role(&mut client, "fast", "scram.generate('fast', 5000)");

    let said = "SELECT subject || ': ' || evidence FROM scram.audit_finding
                WHERE check_id IN ('password_is_name', 'iterations_above_clients')";
    Run::call(&mut client);
    let found: Vec<_> = rows(&mut client, said).into_iter().flatten().flatten().collect();
    assert!(found.iter().any(|line| line.starts_with("fast: the password is its own name")));
    let slow: Vec<_> = found.iter().filter(|line| line.starts_with("slow")).collect();
    assert_eq!(
        slow,
        ["slow: iteration count 30000, at most 5000 wanted; no password is tried on it, as \
          scram.max_iterations is 5000"]
    );
    // And as soon as it may take so long:
    client.batch_execute("SET scram.max_iterations = 30000").expect("a setting");
    let run = Run::call(&mut client);
    assert!(run.tested > 0 && run.status == "done", "{run:?}");
    assert_eq!(guessed(&mut client), ["fast password_is_name", "slow password_is_name"]);
}

#[test]
fn a_run_uses_its_threads() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    make_role(&mut client, "ann", "scram.generate('Zq8-unlike', 100000)");
    client
        .batch_execute(
            "INSERT INTO scram.wordlist SELECT 'Zq8-word' || i FROM generate_series(1, 2000) i",
        )
        .expect("words");
    client.batch_execute("SET scram.search_threads = 3").expect("a setting");
    let pid = cell(&mut client, "SELECT pg_backend_pid()").expect("a process");
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).expect("a process").count();
    assert_eq!(threads(), 1);
    let canceller = client.cancel_token();
    let running = thread::spawn(move || client.batch_execute("CALL scram.run_audit()"));
    let mut most = 0;
    until("it works on three threads", || {
        most = most.max(threads());
        (most == 3).then_some(())
    });
    // Threads start and end with the searches, and their number never exceeds the limit.
    for _ in 0..1000 {
        most = most.max(threads());
    }
    assert_eq!(most, 3);
    canceller.cancel_query(postgres::NoTls).expect("a cancel");
    let cancelled = running.join().expect("the thread").expect_err("cancelled");
    assert_eq!(Raised::from_error(&cancelled).code, "57014");
}

/// Hostile names of a role, of a row in a source, and of the source.
#[test]
fn hostile_names_are_names() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let long = "漢".repeat(21);
    let names = [
        "O'Brien\"; DROP TABLE x; --",
        "two\nlines",
        "<script>alert(1)</script>&amp;",
        "{\"a\": [1]}",
        "tab\tand\\backslash",
        "$1 %s %I {} $$",
        &long,
        " leading and trailing ",
        "\u{202e}abc",
    ];
    client.batch_execute("CREATE TABLE account (name text, secret text)").expect("a table");
    for name in names {
        let (identifier, literal) =
            (name.replace('"', "\"\""), name.replace('\\', "\\\\").replace('\'', "''"));
        let sql = format!(
            "CREATE ROLE \"{identifier}\" LOGIN PASSWORD E'{literal}';
             INSERT INTO account VALUES (E'{literal}', scram.generate(E'{literal}'));
             SELECT scram.add_audit_source(E'{literal}', 'account', 'name', 'secret')"
        );
        client.batch_execute(&sql).expect(name);
    }
    assert_eq!(long.len(), 63);
    let run = Run::call(&mut client);
    assert_eq!(run.status, "done", "{run:?}");
    // Each name: as a role, and as a row of each of the sources.
    let found = "SELECT f.subject, count(*) FROM scram.audit_finding f
                 WHERE f.check_id = 'password_is_name' GROUP BY 1";
    let mut found: Vec<(String, String)> = rows(&mut client, found)
        .into_iter()
        .map(|row| (row[0].clone().expect("a name"), row[1].clone().expect("a count")))
        .collect();
    found.sort();
    let each = (names.len() + 1).to_string();
    let mut expected: Vec<_> = names.map(|name| (name.to_owned(), each.clone())).into();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(Run::call(&mut client).tested, 0, "each is known again");

    let json = "SELECT f ->> 'source', f ->> 'subject' FROM jsonb_array_elements(
                    scram.audit_report('json')::jsonb -> 'findings') f WHERE f ->> 'check_id' = 'password_is_name'";
    assert_eq!(rows(&mut client, json).len(), names.len() * (names.len() + 1));
    for (format, forbidden) in [
        ("text", vec!["\u{202e}", "two\nlines", "\t"]),
        ("html", vec!["<script>alert", "&amp;amp;\"", "\u{202e}"]),
        ("prometheus", vec!["<script>alert(1)</script>&amp;\",subject"]),
        ("json", vec!["\u{202e}", "two\nlines"]),
    ] {
        let report = format!("SELECT scram.audit_report('{format}')");
        let report = cell(&mut client, &report).expect("a report");
        for text in forbidden {
            assert!(!report.contains(text), "{text:?} in {format}: {report}");
        }
    }
    // And gone again, without a ghost.
    for name in names {
        let sql = format!("DROP ROLE \"{}\"", name.replace('"', "\"\""));
        client.batch_execute(&sql).expect(name);
    }
    client.batch_execute("TRUNCATE account").expect("no rows");
    Run::call(&mut client);
    assert_eq!(guessed(&mut client), [""; 0]);
    let remembered = "SELECT count(*) FROM scram_internal.stored_secret";
    assert_eq!(number(&mut client, remembered), 0);
}

/// The number of candidates for all known secrets.
fn all_candidates(client: &mut Client) -> i64 {
    let sql = "SELECT sum(t.by_name + (SELECT count(*) FROM scram_internal.candidate))
               FROM scram_internal.stored_secret t WHERE t.by_name > 0";
    number(client, sql)
}

/// Open findings of the checks that try passwords.
fn guessed(client: &mut Client) -> Vec<String> {
    let sql = "SELECT f.subject || ' ' || f.check_id FROM scram.audit_finding f
               JOIN scram_internal.guess_checks() g USING (check_id) WHERE f.status = 'open'";
    let mut found: Vec<String> = rows(client, sql).into_iter().flatten().flatten().collect();
    found.sort();
    found
}

fn number(client: &mut Client, sql: &str) -> i64 {
    cell(client, sql).expect("a number").parse().expect("a number")
}
