//! Reports on clusters with very much to report: they can be read, and JSON has everything.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Page, Run, cell, rows};

#[test]
fn ten_thousand_bad_roles() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "DO $$ BEGIN
                 FOR i IN 1 .. 10000 LOOP EXECUTE format('CREATE ROLE bad_%s LOGIN', i); END LOOP;
             END $$;
             UPDATE pg_authid SET rolpassword = 'md5' || md5('x' || rolname), rolvaliduntil = '2020-01-01'
             WHERE rolname LIKE 'bad%'",
        )
        .expect("roles");
    rows(&mut client, "CALL scram.run_audit()");
    client
        .batch_execute("UPDATE pg_authid SET rolpassword = NULL WHERE rolname LIKE 'bad_1%'")
        .expect("a change");
    rows(&mut client, "CALL scram.run_audit()");
    let open =
        number(&mut client, "SELECT count(*) FROM scram.audit_finding WHERE status = 'open'");
    assert!(open > 15_000, "{open}");

    let html = bounded(&mut client);
    let page = Page::open(&html, "sort=subject:descending&severity=critical");
    assert_eq!((page.console.len(), page.requests.len()), (0, 0), "{page:?}");
    let subjects = page.column("all", "<th scope=\"row\">");
    assert!((100..2000).contains(&subjects.len()), "{}", subjects.len());
    assert!(page.dom.contains("data-sorted=\"subject:descending\""));
    let place = |text: &str| page.dom.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(place("Changes since run 1") < place("What to do"), "what is new comes first");

    let found = "SELECT jsonb_array_length(scram.audit_report('json')::jsonb -> 'findings')";
    assert_eq!(number(&mut client, found), open);
    // The statement for the others lists as many as the report says.
    let text = cell(&mut client, "SELECT scram.audit_report()").expect("a report");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, group) = words.split_once("md5_hash (").expect("the check");
    let (total, group) = group.split_once(')').expect("the number");
    let (_, statement) = group.split_once(" more: ").expect("the others");
    let (statement, _) = statement.split_once(';').expect("its end");
    let listed = rows(&mut client, statement).len();
    assert_eq!(total.replace(',', ""), listed.to_string(), "{statement}");
    // The commands do what they say.
    let (_, command) = words.split_once("SELECT scram.rotate_role(").expect("a command");
    let (arguments, _) = command.split_once(");").expect("its end");
    rows(&mut client, &format!("SELECT scram.rotate_role({arguments})"));
    let left = rows(&mut client, statement).len();
    rows(&mut client, "CALL scram.run_audit()");
    assert_eq!(rows(&mut client, statement).len(), left - 1, "{arguments}");
}

#[test]
fn a_million_bad_rows() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE account (name text PRIMARY KEY, secret text);
             INSERT INTO account SELECT 'user ' || i, 'plain text ' || i FROM generate_series(1, 1000000) i;
             SELECT scram.add_audit_source('accounts', 'account', 'name', 'secret')",
        )
        .expect("a source");
    let run = Run::call(&mut client);
    assert_eq!(run.status, "done");
    let html = bounded(&mut client);
    assert_eq!(Page::open(&html, "").console, [""; 0]);
    // Grouped already where it is stored.
    let json = number(&mut client, "SELECT length(scram.audit_report('json'))");
    assert!(json < 2_000_000, "{json} bytes");
}

/// The page, after the text and the page were found short.
fn bounded(client: &mut Client) -> String {
    let text = cell(client, "SELECT scram.audit_report()").expect("a report");
    assert!(text.lines().count() < 200, "{} lines", text.lines().count());
    let html = cell(client, "SELECT scram.audit_report('html')").expect("a report");
    assert!(html.len() < 500_000, "{} bytes", html.len());
    html
}

fn number(client: &mut Client, sql: &str) -> i64 {
    cell(client, sql).expect("a number").parse().expect("a number")
}
