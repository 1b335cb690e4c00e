//! Sources that are read in more than one slice: what damage, and a large change, do to a run.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use postgres::Client;
use scram_ext_client_tests::{Cluster, cell, rows};

/// The server's default.
const BLOCK: usize = 8192;

#[test]
fn a_damaged_block_keeps_no_other_slice_from_being_read() {
    let mut cluster = Cluster::with_extension();
    let mut client = cluster.client();
    // One row a block, so that 2,600 rows are three slices. `plain` rows hold no hash.
    client
        .batch_execute(
            "CREATE TABLE account (name text, secret text, filler text);
             ALTER TABLE account ALTER filler SET STORAGE PLAIN;
             INSERT INTO account
             SELECT 'user' || n, CASE WHEN n IN (10, 1500, 2500) THEN 'plain' END, repeat('x', 5000)
             FROM generate_series(1, 2600) n;
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
        )
        .expect("a source");
    run(&mut client);
    assert_eq!(plain(&mut client), ["user10 open", "user1500 open", "user2500 open"]);

    let file = file(&cluster, &mut client);
    drop(client);
    cluster.restart();
    let block = overwrite(&file, 1600, &[0xAA; BLOCK]);
    let mut client = cluster.client();
    client
        .batch_execute("DELETE FROM account WHERE ctid = '(2499,1)'")
        .expect("the last plain text");
    run(&mut client);
    assert_eq!(plain(&mut client), ["user10 open", "user1500 open", "user2500 fixed"]);
    let evidence = "SELECT max(evidence) FROM scram.audit_finding
                    WHERE check_id = 'source_unreadable' AND status = 'open'";
    let found = cell(&mut client, evidence).expect("the source");
    let expected = "1 of 3 slices cannot be read, and what was found in them stands: invalid page in block 1600";
    assert!(found.starts_with(expected), "{found}");

    drop(client);
    cluster.restart();
    overwrite(&file, 1600, &block);
    let mut client = cluster.client();
    client
        .batch_execute("DELETE FROM account WHERE ctid = '(1499,1)'")
        .expect("one in the slice that was damaged");
    run(&mut client);
    assert_eq!(cell(&mut client, evidence), None);
    assert_eq!(plain(&mut client), ["user10 open", "user1500 fixed", "user2500 fixed"]);
}

/// After a restore no password has been tried. A slice that cannot be read keeps the findings of the word list.
#[test]
fn what_was_guessed_in_a_damaged_slice_stands_after_a_restore() {
    let mut cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE account (name text, secret text, filler text);
             ALTER TABLE account ALTER filler SET STORAGE PLAIN;
             INSERT INTO scram.wordlist VALUES ('dragon');
             INSERT INTO account
             SELECT 'user' || n, CASE WHEN n IN (10, 1500) THEN scram.generate('dragon') END, repeat('x', 5000)
             FROM generate_series(1, 2100) n;
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
        )
        .expect("a source");
    run(&mut client);
    let guessed = "SELECT subject || ' ' || status FROM scram.audit_finding
                   WHERE check_id = 'password_in_wordlist' ORDER BY subject";
    let open = ["user10 open", "user1500 open"];
    let column = |client: &mut Client| -> Vec<String> {
        rows(client, guessed).into_iter().flatten().flatten().collect()
    };
    assert_eq!(column(&mut client), open);
    cluster.copy_database("postgres", "copy", true);
    drop(client);
    let mut copy = cluster.client_as("postgres", "copy");
    let file = file(&cluster, &mut copy);
    drop(copy);
    cluster.restart();
    let block = overwrite(&file, 1600, &[0xAA; BLOCK]);
    let mut copy = cluster.client_as("postgres", "copy");
    run(&mut copy);
    assert_eq!(column(&mut copy), open);
    // The first reading of the source met the damage.
    let evidence = "SELECT evidence FROM scram.audit_finding WHERE check_id = 'source_unreadable'";
    let evidence = cell(&mut copy, evidence).expect("a finding");
    assert!(evidence.starts_with("1 of 3 slices cannot be read"), "{evidence}");

    drop(copy);
    cluster.restart();
    overwrite(&file, 1600, &block);
    let mut copy = cluster.client_as("postgres", "copy");
    copy.batch_execute("DELETE FROM account WHERE name = 'user1500'").expect("a row less");
    run(&mut copy);
    assert_eq!(column(&mut copy), ["user10 open", "user1500 fixed"]);
}

/// Long values end slices early, so that damage in one of them is no reason to forget the next ones.
#[test]
fn damage_removes_nothing_that_was_found_in_later_short_slices() {
    let mut cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE account (name text, secret text, filler text);
             ALTER TABLE account ALTER filler SET STORAGE PLAIN, ALTER secret SET STORAGE EXTERNAL;
             INSERT INTO scram.wordlist VALUES ('dragon');
             INSERT INTO account
             SELECT 'user' || n, CASE WHEN n = 700 THEN scram.generate('dragon') ELSE repeat('x', 60000) END, repeat('x', 5000)
             FROM generate_series(1, 900) n;
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
        )
        .expect("a source");
    run(&mut client);
    let slices = "SELECT count(*) FROM scram_internal.source_slice WHERE part = 'blocks'";
    assert_eq!(cell(&mut client, slices).as_deref(), Some("4"));
    client.batch_execute("SELECT scram.accept_findings('password_in_wordlist')").expect("accepted");
    let file = file(&cluster, &mut client);
    drop(client);
    cluster.restart();
    overwrite(&file, 5, &[0xAA; BLOCK]);
    let mut client = cluster.client();
    run(&mut client);
    let found = "SELECT subject || ' ' || status FROM scram.audit_finding WHERE check_id = 'password_in_wordlist'";
    assert_eq!(cell(&mut client, found).as_deref(), Some("user700 accepted"));
    let evidence = "SELECT evidence FROM scram.audit_finding WHERE check_id = 'source_unreadable'";
    let evidence = cell(&mut client, evidence).expect("a finding");
    assert!(evidence.starts_with("1 of 4 slices cannot be read"), "{evidence}");
}

/// No step of a run takes longer because a million rows went at once.
#[test]
fn what_a_source_has_lost_is_removed_in_parts() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    // No password is tried.
    client.batch_execute("LOAD 'scram_ext'").expect("the library");
    client.batch_execute("ALTER SYSTEM SET scram.max_iterations = 1000").expect("a setting");
    client.batch_execute("SELECT pg_reload_conf()").expect("a reload");
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE account AS
             SELECT n AS name, 'SCRAM-SHA-256$4096:' || encode(substr(sha256(n::text::bytea), 1, 16), 'base64') || '$'
                || encode(sha256((n || 'k')::bytea), 'base64') || ':' || encode(sha256((n || 'v')::bytea), 'base64') AS secret
             FROM generate_series(1, 220000) n;
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
        )
        .expect("a source");
    run(&mut client);
    let stored = "SELECT count(*) FROM scram_internal.stored_secret t
                  JOIN scram_internal.source_slice s USING (slice_id) WHERE s.source = 'app'";
    assert_eq!(cell(&mut client, stored).as_deref(), Some("220000"));

    client.batch_execute("TRUNCATE account").expect("no rows");
    let mut left = Vec::new();
    // A run without time still does one step.
    for _ in 0..20 {
        client.batch_execute("CALL scram.run_audit(budget => '0 s')").expect("a run");
        left.push(cell(&mut client, stored).expect("a count"));
        let state = "SELECT count(*) FROM scram_internal.source_state WHERE is_ending";
        if cell(&mut client, state).as_deref() == Some("0") {
            break;
        }
    }
    assert!(left.len() > 2, "{left:?}");
    assert_eq!(left.last().map(String::as_str), Some("0"), "{left:?}");
}

/// The same name and secret in two slices is one secret. A finding on its guessed password stands until both rows are gone.
#[test]
fn a_secret_stays_until_the_last_slice_has_lost_it() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    // One row a block, so that 1,300 rows are two slices.
    client
        .batch_execute(
            "CREATE TABLE account (name text, secret text, filler text);
             ALTER TABLE account ALTER filler SET STORAGE PLAIN;
             INSERT INTO account
             SELECT 'user', CASE WHEN n IN (10, 1200) THEN scram.generate('letmein', 4096, substr(sha256('s'), 1, 16)) END, repeat('x', 5000)
             FROM generate_series(1, 1300) n;
             INSERT INTO scram.wordlist VALUES ('letmein');
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
        )
        .expect("a source");
    let found = "SELECT finding_id || ' ' || status FROM scram.audit_finding
                 WHERE source = 'app' AND check_id = 'password_in_wordlist'";
    let stored = "SELECT count(*) FROM scram_internal.stored_secret t
                  JOIN scram_internal.source_slice s USING (slice_id) WHERE s.source = 'app'";
    run(&mut client);
    let first = cell(&mut client, found).expect("a guessed password");
    assert!(first.ends_with(" open"), "{first}");
    assert_eq!(cell(&mut client, stored).as_deref(), Some("1"));

    client.batch_execute("DELETE FROM account WHERE ctid = '(1199,1)'").expect("one of the rows");
    for _ in 0..3 {
        run(&mut client);
        assert_eq!(cell(&mut client, found).as_ref(), Some(&first));
        assert_eq!(cell(&mut client, stored).as_deref(), Some("1"));
    }
    client.batch_execute("DELETE FROM account WHERE ctid = '(9,1)'").expect("the other one");
    run(&mut client);
    assert_eq!(cell(&mut client, found), Some(first.replace("open", "fixed")));
    assert_eq!(cell(&mut client, stored).as_deref(), Some("0"));
}

fn run(client: &mut Client) {
    client.batch_execute("CALL scram.run_audit()").expect("a run");
}

fn plain(client: &mut Client) -> Vec<String> {
    let found = "SELECT subject || ' ' || status FROM scram.audit_finding
                 WHERE check_id = 'password_plain_text' ORDER BY length(subject), subject";
    rows(client, found).into_iter().flatten().flatten().collect()
}

fn file(cluster: &Cluster, client: &mut Client) -> PathBuf {
    let path = cell(client, "SELECT pg_relation_filepath('account')").expect("a file");
    cluster.dir().join("data").join(path)
}

/// Writes a block of a file that no server has open, and returns what it was.
fn overwrite(file: &PathBuf, block: u64, bytes: &[u8]) -> Vec<u8> {
    let file = OpenOptions::new().read(true).write(true).open(file).expect("the relation's file");
    let place = block * BLOCK as u64;
    let mut before = vec![0; BLOCK];
    file.read_exact_at(&mut before, place).expect("the block");
    file.write_all_at(bytes, place).expect("the block");
    before
}
