//! pg_hba.conf on disk is not what the server uses: broken, empty, missing, or not loaded yet.

use std::fs;
use std::path::PathBuf;

use postgres::Client;
use scram_ext_client_tests::{Cluster, Feature, cell};

const KEPT: &str = "; the server keeps the rules that it loaded before, and would not start";

#[test]
fn a_file_that_the_server_would_not_load() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE ann LOGIN PASSWORD 'Xq8-ann'").expect("a role");
    let file = file(&cluster);
    let good = fs::read_to_string(&file).expect("pg_hba.conf");
    assert_eq!(unreadable(&mut client), None);

    for (text, expected) in [
        (
            format!("{good}host all all client1.example.edu/32 md5\n"),
            r#"line 3: specifying both host name and CIDR mask is invalid: "client1.example.edu/32""#,
        ),
        (
            format!("host all\n{good}hostile\n"),
            "line 1: end-of-line before role specification (and 1 more lines)",
        ),
        (
            format!("{good}host all \\\nall\n"),
            "line 3: end-of-line before IP address specification",
        ),
        ("# nothing\n".to_owned(), "the file has no rules"),
        (
            format!("{good}local all @missing md5\n"),
            if Feature::HbaPatterns.is_there() {
                "line 3: could not open file"
            } else {
                "line 3: could not open secondary authentication file"
            },
        ),
        // Messages quote words of the line.
        (
            format!("{good}host all all all ldap ldapbindpasswd=hunter2\n"),
            "line 3: an error in a line with a secret",
        ),
        (
            format!("{good}host all all all radius radiusservers=x radiussecrets hunter2\n"),
            "line 3: an error in a line with a secret",
        ),
        // The server has no message about this one where others can read it.
        (
            format!("{good}host all all all radius radiusservers=no-such-host.invalid\n"),
            "line 3: an error that only the server's log names",
        ),
    ] {
        fs::write(&file, &text).expect("pg_hba.conf");
        let found = unreadable(&mut client).expect(&text);
        assert!(found.starts_with(expected) && found.ends_with(KEPT), "{text}: {found}");
        assert!(!found.contains("hunter2"), "{found}");
        let judged = "SELECT count(*) FROM scram.audit()
                      WHERE check_id IN ('hba_trust', 'no_matching_hba_rule', 'login_without_password')";
        assert_eq!(cell(&mut client, judged).as_deref(), Some("0"), "{text}");
    }

    fs::remove_file(&file).expect("pg_hba.conf");
    let found = unreadable(&mut client).expect("a missing file");
    assert!(found.starts_with("could not open the file: No such file"), "{found}");
    // A stored run does not fail either.
    client.batch_execute("CALL scram.run_audit()").expect("a run");

    // The server still uses the rules of the first file.
    assert!(cluster.login("ann", b"Xq8-ann").is_ok());
    cluster.reload_hba(&mut client, &good);
    assert_eq!(unreadable(&mut client), None);
}

#[test]
fn a_change_that_is_not_loaded() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let not_loaded = "SELECT count(*) FROM scram.audit() WHERE check_id = 'hba_not_loaded' AND severity = 'notice'";
    assert_eq!(cell(&mut client, not_loaded).as_deref(), Some("0"));
    let rules = "local all postgres trust\nlocal all @names trust\n";
    fs::write(file(&cluster).with_file_name("names"), "ann\n").expect("names");
    fs::write(file(&cluster), rules).expect("pg_hba.conf");
    assert_eq!(cell(&mut client, not_loaded).as_deref(), Some("1"));
    cluster.reload_hba(&mut client, rules);
    // The old session learns of the reload by a signal, which may not have reached it yet.
    let mut client = cluster.client();
    assert_eq!(cell(&mut client, not_loaded).as_deref(), Some("0"));
    // A file of names is a part of it.
    fs::write(file(&cluster).with_file_name("names"), "ann\nbob\n").expect("names");
    assert_eq!(cell(&mut client, not_loaded).as_deref(), Some("1"));
}

fn file(cluster: &Cluster) -> PathBuf {
    cluster.dir().join("data/pg_hba.conf")
}

/// The evidence of the one finding that there may be.
fn unreadable(client: &mut Client) -> Option<String> {
    cell(
        client,
        "SELECT string_agg(subject || '/' || severity || '/' || evidence, '|')
         FROM scram.audit() WHERE check_id = 'hba_unreadable'",
    )
    .map(|found| found.strip_prefix("pg_hba.conf/critical/").expect("its subject").to_owned())
}
