//! Registered sources: their findings, the right to register one, and the failure of one.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

/// Salt 0 to 15, 4096 iterations, the password is `pencil`.
const KEYS: [&str; 2] = [
    "zHCdol2044/ZyWzPLi7oxApCkamKw9Z+E4U/QApd/5Y=",
    "dd5peBOitVnLNFu7VmwP+HiDaaw4OUCv396eVCWhYiE=",
];

#[test]
fn every_form_is_judged() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let [stored, server] = KEYS;
    client
        .batch_execute(&format!(
            r#"CREATE TABLE account (name text, secret scram.verifier);
             INSERT INTO account VALUES
                 ('good', scram.generate('Xq8-unlike')),
                 ('known', scram.generate('pencil')),
                 ('dora', scram.generate('dora1')),
                 ('upper', scram.generate('UPPER')),
                 ('same_a', scram.generate('Xq8-first', salt => '\x00112233445566778899aabbccddeeff')),
                 ('same_b', scram.generate('Xq8-second', salt => '\x00112233445566778899aabbccddeeff')),
                 ('copy_a', scram.generate('Xq8-copied', salt => '\x01112233445566778899aabbccddeeff')),
                 ('copy_b', scram.generate('Xq8-copied', salt => '\x01112233445566778899aabbccddeeff')),
                 ('sha_512', scram.generate('pencil', mechanism => 'SCRAM-SHA-512')),
                 ('short', scram.generate('Xq8-short', salt => '\x00112233')),
                 ('many', scram.generate('Xq8-many', 100001)),
                 ('none', NULL);
             CREATE TABLE mixed (name varchar(20), secret text);
             INSERT INTO mixed VALUES
                 ('kafka', 'salt=AAECAwQFBgcICQoLDA0ODw==,stored_key={stored},server_key={server},iterations=4096'),
                 ('dovecot', '{{SCRAM-SHA-256}}4096,AAECAwQFBgcICQoLDA0ODw==,{stored},{server}'),
                 ('bcrypt', '$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW'),
                 ('plain', 'hunter2'), ('twice', 'hunter2'), ('twice', 'hunter3'),
                 ('md5', 'md5' || md5('pencilmd5')),
                 ('torn', 'SCRAM-SHA-256$4096:AAEC'),
                 ('few', 'SCRAM-SHA-256$1:AAECAwQFBgcICQoLDA0ODg==${stored}:{server}');
             CREATE MATERIALIZED VIEW topic AS
                 SELECT name, scram.generate('Xq8-topic', 16385) AS secret
                 FROM (VALUES ('broker'), (NULL)) v(name);
             CREATE TABLE mongo (name text, doc jsonb);
             INSERT INTO mongo VALUES ('mongo', '{{"SCRAM-SHA-256": {{"iterationCount": 4096, "salt": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==",
                 "storedKey": "{stored}", "serverKey": "{server}"}}}}'), ('null', 'null');
             INSERT INTO scram.wordlist VALUES ('pencil'), ('paper');
             SELECT scram.add_audit_source('account', 'account', 'name', 'secret');
             SELECT scram.add_audit_source('mixed', 'mixed', 'name', 'secret');
             SELECT scram.add_audit_source('topic', 'topic', 'name', 'secret');
             UPDATE scram.audit_source SET client = 'kafka' WHERE name = 'topic';
             SELECT scram.add_audit_source('mongo', 'mongo', 'name', 'doc')"#
        ))
        .expect("sources");
    let scanned = [
        ["account", "rows", "iterations_reveal_role"],
        ["account", "rows", "salt_shared"],
        ["account", "rows", "verifier_shared"],
        ["account", "scram-sha-256 rows", "iterations_above_clients"],
        ["account", "scram-sha-256 rows", "salt_short"],
        ["mixed", "md5", "md5_hash"],
        ["mixed", "plain", "password_plain_text"],
        ["mixed", "rows", "iterations_reveal_role"],
        ["mixed", "rows", "verifier_shared"],
        ["mixed", "scram-sha-256 rows", "iterations_below_policy"],
        ["mixed", "torn", "scram_malformed"],
        ["mixed", "twice", "password_plain_text"],
        ["topic", "scram-sha-256 rows", "iterations_above_clients"],
    ];
    // Rows that share the whole verifier are not reported for sharing the salt.
    let list = "SELECT DISTINCT source, subject, check_id FROM {} WHERE source NOT IN ('role', 'server') ORDER BY 1, 2, 3";
    let now = triples(&mut client, &list.replace("{}", "scram.audit()"));
    let mut expected: Vec<_> = scanned.map(|row| row.map(str::to_owned)).into();
    // Found now, and not stored, a single row has its own name.
    let mut named = expected.clone();
    for row in &mut named {
        let name = match [&*row[0], &*row[2]] {
            ["account", "iterations_above_clients"] => "many",
            ["account", "salt_short"] => "short",
            ["mixed", "iterations_below_policy"] => "few",
            _ => continue,
        };
        name.clone_into(&mut row[1]);
    }
    named.sort();
    assert_eq!(now, named);

    // A stored run finds the same, and passwords.
    cell(&mut client, "CALL scram.run_audit()").expect("a run");
    for [source, subject, check] in [
        ["account", "dora", "password_is_name"],
        ["account", "known", "password_in_wordlist"],
        ["account", "sha_512", "password_in_wordlist"],
        ["account", "upper", "password_is_name"],
        ["mixed", "dovecot", "password_in_wordlist"],
        ["mixed", "kafka", "password_in_wordlist"],
        ["mixed", "md5", "password_in_wordlist"],
    ] {
        expected.push([source, subject, check].map(str::to_owned));
    }
    expected.sort();
    assert_eq!(triples(&mut client, &list.replace("{}", "scram.audit_finding")), expected);

    // The census counts the stored forms.
    let census = "SELECT kind, coalesce(iterations, 0), subjects FROM scram.audit_census
                  WHERE source = 'mixed' ORDER BY kind COLLATE \"C\"";
    let counted = [
        ["bcrypt", "0", "1"],
        ["dovecot", "4096", "1"],
        ["kafka", "4096", "1"],
        ["md5", "0", "1"],
        ["scram-malformed", "0", "1"],
        ["scram-sha-256", "1", "1"],
        ["unknown", "0", "3"],
    ];
    assert_eq!(triples(&mut client, census), counted.map(|row| row.map(str::to_owned)));

    // A finding that counts rows names them, and tells how many they are and what they have in common.
    for (source, subject, check, expected) in [
        ("account", "rows", "salt_shared", r#"2 rows: 1 salt in common ("same_a", "same_b")"#),
        (
            "account",
            "rows",
            "verifier_shared",
            r#"2 rows: 1 verifier in common ("copy_a", "copy_b")"#,
        ),
        (
            "mixed",
            "twice",
            "password_plain_text",
            "no form that is known: plain text must be assumed (and 1 more rows of this name)",
        ),
        (
            "topic",
            "scram-sha-256 rows",
            "iterations_above_clients",
            r#"2 rows: iteration count 16385, refused by Kafka above 16384 ("a row without a name", "broker")"#,
        ),
    ] {
        let sql = format!(
            "SELECT evidence FROM scram.audit_finding
             WHERE (source, subject, check_id) = ('{source}', '{subject}', '{check}')"
        );
        assert_eq!(cell(&mut client, &sql).as_deref(), Some(expected), "{source} {check}");
    }
    let run = rows(&mut client, "SELECT subjects > 20, status FROM scram.audit_run");
    assert_eq!(run, [[Some("t".to_owned()), Some("done".to_owned())]]);
}

#[test]
fn only_who_may_read_a_relation_registers_it() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE TABLE account (name text, secret text, other integer, gone text);
             ALTER TABLE account DROP COLUMN gone;
             CREATE ROLE auditor LOGIN;
             GRANT EXECUTE ON FUNCTION scram.add_audit_source(text, regclass, name, name),
                 scram.drop_audit_source(text) TO auditor;
             GRANT SELECT, INSERT, UPDATE, DELETE ON scram.audit_source TO auditor;
             GRANT SELECT (name) ON account TO auditor",
        )
        .expect("a table");
    let mut auditor = cluster.client_as("auditor", "postgres");
    for sql in [
        "SELECT scram.add_audit_source('a', 'account', 'name', 'secret')",
        "SELECT scram.add_audit_source('a', 'account', 'secret', 'name')",
        "INSERT INTO scram.audit_source VALUES ('a', 'account', 'name', 'secret', 'auditor')",
    ] {
        let raised = Raised::by(&mut auditor, sql);
        assert_eq!(raised.code, "42501", "{sql}: {raised:?}");
    }
    admin.batch_execute("GRANT SELECT (secret) ON account TO auditor").expect("a grant");
    auditor
        .batch_execute("SELECT scram.add_audit_source('a', 'account', 'name', 'secret')")
        .expect("registered");
    let raised =
        Raised::by(&mut auditor, "UPDATE scram.audit_source SET relation = 'pg_authid'::regclass");
    assert_eq!(raised.code, "42809", "{raised:?}");

    for (arguments, code) in [
        ("'a', 'account', 'name', 'secret'", "42710"),
        ("'role', 'account', 'name', 'secret'", "22023"),
        ("'', 'account', 'name', 'secret'", "22023"),
        ("NULL, 'account', 'name', 'secret'", "22004"),
        ("'b', NULL, 'name', 'secret'", "22004"),
        ("'b', 'account', NULL, 'secret'", "22004"),
        ("'b', 'account', 'name', 'other'", "42804"),
        ("'b', 'account', 'name', 'name'", "22023"),
        ("'b', 'account', 'name', 'Secret'", "42703"),
        ("'b', 'account', 'name', 'gone'", "42703"),
        ("'b', 'account', 'name', 'ctid'", "42703"),
        ("'b', 'nowhere', 'name', 'secret'", "42P01"),
        ("'b', 0, 'name', 'secret'", "42P01"),
    ] {
        let raised = Raised::by(&mut admin, &format!("SELECT scram.add_audit_source({arguments})"));
        assert_eq!(raised.code, code, "{arguments}: {raised:?}");
    }
    auditor.batch_execute("SELECT scram.drop_audit_source('a')").expect("dropped");
    assert_eq!(Raised::by(&mut auditor, "SELECT scram.drop_audit_source('a')").code, "42704");
    assert_eq!(Raised::by(&mut auditor, "SELECT scram.drop_audit_source(NULL)").code, "22004");
}

/// A source that cannot be read is reported. The others are read, and its earlier findings remain.
#[test]
fn a_source_that_fails_does_not_stop_the_others() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE MATERIALIZED VIEW a_empty AS SELECT 'x'::text AS name, 'plain'::text AS secret
                 WITH NO DATA;
             CREATE TABLE b_dropped (name text, secret text);
             CREATE TABLE c_good (name text, secret text);
             CREATE TABLE d_changed (name text, secret text);
             CREATE TABLE e_renamed (name text, secret text);
             INSERT INTO c_good VALUES ('one', 'plain'), ('two', scram.generate('two'));
             INSERT INTO d_changed VALUES ('one', 'plain');
             INSERT INTO e_renamed VALUES ('one', 'plain');
             SELECT scram.add_audit_source(t, t, 'name', 'secret')
             FROM unnest('{a_empty,b_dropped,c_good,d_changed,e_renamed}'::text[]) t;
             DROP TABLE b_dropped",
        )
        .expect("sources");
    let findings = "SELECT source, subject, check_id FROM scram.audit_finding
                    WHERE status = 'open' AND (source NOT IN ('role', 'server') OR subject LIKE 'source %')
                    ORDER BY 1, 2, 3";
    cell(&mut client, "CALL scram.run_audit()").expect("a run");
    let row =
        |source: &str, subject: &str, check: &str| [source, subject, check].map(str::to_owned);
    let mut expected = vec![
        row("c_good", "one", "password_plain_text"),
        row("c_good", "two", "password_is_name"),
        row("d_changed", "one", "password_plain_text"),
        row("e_renamed", "one", "password_plain_text"),
        row("server", "source a_empty", "source_unreadable"),
        row("server", "source b_dropped", "source_unreadable"),
    ];
    assert_eq!(triples(&mut client, findings), expected);

    // Broken, then mended; another one is dropped. One is switched off: its findings stand.
    client
        .batch_execute(
            "ALTER TABLE d_changed ALTER secret TYPE varchar;
             ALTER TABLE e_renamed RENAME secret TO hash;
             REFRESH MATERIALIZED VIEW a_empty;
             SELECT scram.drop_audit_source('b_dropped');
             UPDATE scram.audit_source SET enabled = false WHERE name = 'c_good'",
        )
        .expect("changes");
    cell(&mut client, "CALL scram.run_audit()").expect("a run");
    expected = vec![
        row("a_empty", "x", "password_plain_text"),
        row("c_good", "one", "password_plain_text"),
        row("c_good", "two", "password_is_name"),
        row("d_changed", "one", "password_plain_text"),
        row("e_renamed", "one", "password_plain_text"),
        row("server", "source d_changed", "source_unreadable"),
        row("server", "source e_renamed", "source_unreadable"),
    ];
    assert_eq!(triples(&mut client, findings), expected);
    let evidence = "SELECT subject, evidence, check_id FROM scram.audit_finding
                    WHERE check_id = 'source_unreadable' ORDER BY 1";
    let why = triples(&mut client, evidence)
        .into_iter()
        .map(|[subject, evidence, _]| [subject, evidence]);
    let why: Vec<_> = why.collect();
    let gone = "relation of the source does not exist (SQLSTATE 42P01)";
    let expected_evidence = [
        ["source a_empty", "materialized view \"a_empty\" has not been populated (SQLSTATE 55000)"],
        ["source b_dropped", gone],
        [
            "source d_changed",
            "column \"secret\" of relation \"d_changed\" has another type than at registration (SQLSTATE 42804)",
        ],
        [
            "source e_renamed",
            "column \"secret\" of relation \"e_renamed\" does not exist (SQLSTATE 42703)",
        ],
    ];
    assert_eq!(why, expected_evidence.map(|row| row.map(str::to_owned)));

    client
        .batch_execute(
            "ALTER TABLE d_changed ALTER secret TYPE text;
             ALTER TABLE e_renamed RENAME hash TO secret;
             UPDATE scram.audit_source SET enabled = true",
        )
        .expect("as it was");
    cell(&mut client, "CALL scram.run_audit()").expect("a run");
    expected = vec![
        row("a_empty", "x", "password_plain_text"),
        row("c_good", "one", "password_plain_text"),
        row("c_good", "two", "password_is_name"),
        row("d_changed", "one", "password_plain_text"),
        row("e_renamed", "one", "password_plain_text"),
    ];
    assert_eq!(triples(&mut client, findings), expected);
}

/// `audit()` stores nothing, so that it works on a standby and finds the same as on the primary.
#[test]
fn a_standby_reads_sources_too() {
    let cluster = Cluster::builder().hba("local replication all trust").start();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             CREATE TABLE account (name text, secret text);
             INSERT INTO account VALUES ('one', 'plain'), ('two', NULL);
             CREATE ROLE weak LOGIN PASSWORD 'weak';
             SELECT scram.add_audit_source('account', 'account', 'name', 'secret')",
        )
        .expect("a source");
    let standby = cluster.standby();
    let findings = "SELECT source, subject, check_id, evidence FROM scram.audit()
                    WHERE source <> 'server' ORDER BY 1, 2, 3";
    let found = rows(&mut standby.client(), findings);
    assert_eq!(found, rows(&mut client, findings));
    let checks: Vec<_> = found.iter().filter_map(|row| row[2].as_deref()).collect();
    assert!(
        checks.contains(&"password_plain_text") && checks.contains(&"password_is_name"),
        "{checks:?}"
    );
    assert_eq!(Raised::by(&mut standby.client(), "CALL scram.run_audit()").code, "25006");
}

/// A million rows take hardly more of the session's own memory than a thousand.
#[test]
fn memory_does_not_grow_with_a_source() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE TABLE million AS
             SELECT 'user' || i AS name, 'SCRAM-SHA-256$4096:'
                 || encode(substr(sha256(('salt' || i)::bytea), 1, 16), 'base64') || '$'
                 || encode(sha256(('stored' || i)::bytea), 'base64') || ':'
                 || encode(sha256(('server' || i)::bytea), 'base64') AS secret
             FROM generate_series(1, 1000000) i;
             CREATE TABLE thousand AS SELECT * FROM million LIMIT 1000",
        )
        .expect("rows");
    let mut used = ["thousand", "million"].map(|relation| {
        let mut session = cluster.client();
        session
            .batch_execute(&format!(
                "DELETE FROM scram.audit_source;
                 SELECT scram.add_audit_source('s', '{relation}', 'name', 'secret')"
            ))
            .expect("a source");
        let pid = cell(&mut session, "SELECT pg_backend_pid()").expect("a process");
        let findings = "SELECT count(*) FROM scram.audit() WHERE source = 's'";
        assert_eq!(cell(&mut session, findings).as_deref(), Some("0"));
        let after_audit = private_memory(&pid);
        cell(&mut session, "CALL scram.run_audit(budget => '1 min')").expect("a run");
        (after_audit, private_memory(&pid))
    });
    let last = "SELECT subjects > 1000000 FROM scram.audit_run ORDER BY run_id DESC LIMIT 1";
    assert_eq!(cell(&mut admin, last).as_deref(), Some("t"));
    let [small, large] = &mut used;
    assert!(large.0 < small.0 + 64 * 1024, "audit(): {small:?} and {large:?} KiB");
    assert!(large.1 < small.1 + 64 * 1024, "run_audit(): {small:?} and {large:?} KiB");
}

/// The largest private memory of a process, in KiB: its peak, minus the memory that it shares now.
fn private_memory(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().expect("KiB")
    };
    field("VmHWM") - field("RssShmem") - field("RssFile")
}

fn triples(client: &mut Client, sql: &str) -> Vec<[String; 3]> {
    let row = |row: Vec<Option<String>>| {
        let values: Vec<_> = row.into_iter().flatten().collect();
        <[String; 3]>::try_from(values).expect("three values")
    };
    rows(client, sql).into_iter().map(row).collect()
}
