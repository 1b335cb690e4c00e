//! Databases in other encodings, and names that are invalid in them: no call fails, and no role is
//! missed.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

#[test]
fn a_clients_bytes_are_answered_in_every_encoding() {
    let cluster = Cluster::start();
    let mut admin = cluster.client();
    // The byte 0x81 is no character of WIN1252; EUC_JP knows `あ` by other bytes than UTF-8.
    for (encoding, odd) in [
        ("WIN1252", "chr(129)"),
        ("EUC_JP", "convert_from('\\xa4a2', 'EUC_JP')"),
        ("LATIN1", "chr(233)"),
    ] {
        let mut client = database(&cluster, &mut admin, encoding);
        for sql in [
            format!("SELECT scram.identify({odd})"),
            format!("SELECT scram.is_verifier({odd})"),
            format!("SELECT scram.username('n,,n=' || {odd} || ',r=abc') IS NULL"),
            format!("SELECT count(*) FROM scram.explain('n,,n=' || {odd} || ',r=abc')"),
            format!("SELECT scram.verify({odd}, scram.generate({odd}))"),
            "SELECT count(*) FROM scram.audit()".to_owned(),
            "CALL scram.run_audit()".to_owned(),
            "SELECT length(scram.audit_report('text'))".to_owned(),
            "SELECT length(scram.audit_report('html'))".to_owned(),
            "SELECT length(scram.audit_report('prometheus'))".to_owned(),
            "SELECT scram.audit_report('json')::json -> 'version'".to_owned(),
        ] {
            assert!(cell(&mut client, &sql).is_some(), "{encoding}: {sql}");
        }
        // By the name that the client sent, or by one that the caller gives.
        for call in [
            format!("handshake_start('n,,n=' || {odd} || ',r=abc', NULL)"),
            format!("handshake_start('n,,n=,r=abc', NULL, {odd})"),
            format!("role_handshake_start('n,,n=' || {odd} || ',r=abc')"),
            format!("role_handshake_start('n,,n=,r=abc', ({odd})::name)"),
        ] {
            let sql = format!("SELECT coalesce(error, '-') FROM scram.{call}");
            let error = cell(&mut client, &sql).expect("an answer");
            // With an escape it would be another user's name.
            let expected = if encoding == "WIN1252" { "invalid-username-encoding" } else { "-" };
            assert_eq!(error, expected, "{encoding}: {call}");
        }
        let sql = format!(
            "SELECT f.error FROM scram.handshake_start('n,,n=user,r=abc', NULL) s,
             scram.handshake_finish(s.state, {odd}, NULL) f"
        );
        assert_eq!(cell(&mut client, &sql).as_deref(), Some("invalid-encoding"), "{encoding}");
    }
}

/// Roles belong to all databases: a name may be text in the one and not in the other.
#[test]
fn roles_with_names_in_other_encodings_are_audited() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let mut latin1 = database(&cluster, &mut admin, "LATIN1");
    // Lossily converted to UTF-8 the two would be one.
    latin1
        .batch_execute(
            "DO $$ BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', 'm' || chr(252), 'm' || chr(252));
                EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', 'm' || chr(246), 'something else');
             END $$",
        )
        .expect("roles");
    for encoding in ["UTF8", "EUC_JP", "WIN1252", "SQL_ASCII"] {
        let mut client = if encoding == "UTF8" {
            cluster.client()
        } else {
            database(&cluster, &mut admin, encoding)
        };
        let policy = "INSERT INTO scram.audit_policy (check_id, action) VALUES ('password_never_expires', 'notice')";
        client.batch_execute(policy).expect("a finding on each role");
        let weak = "SELECT count(*) FROM scram.audit() WHERE check_id = 'password_is_name'";
        assert_eq!(cell(&mut client, weak).as_deref(), Some("1"), "{encoding}");
        assert!(cell(&mut client, "CALL scram.run_audit()").is_some(), "{encoding}");
        let run = "SELECT status, candidates_left FROM scram.audit_run";
        let done = [Some("done".to_owned()), Some("0".to_owned())];
        assert_eq!(rows(&mut client, run), [done], "{encoding}");
        let stored = "SELECT count(*) FROM scram.audit_finding WHERE check_id = 'password_is_name'";
        assert_eq!(cell(&mut client, stored).as_deref(), Some("1"), "{encoding}");
        let named = "SELECT count(DISTINCT subject) FROM scram.audit_finding
                     WHERE source = 'role' AND subject <> 'postgres'";
        assert_eq!(cell(&mut client, named).as_deref(), Some("2"), "{encoding}: two roles");
        let reported = "SELECT count(DISTINCT f ->> 'subject')
                        FROM json_array_elements(scram.audit_report('json')::json -> 'findings') f
                        WHERE f ->> 'source' = 'role' AND f ->> 'subject' <> 'postgres'";
        assert_eq!(cell(&mut client, reported).as_deref(), Some("2"), "{encoding}: as JSON");
        for format in ["text", "html", "prometheus"] {
            let report = format!("SELECT scram.audit_report('{format}')");
            assert!(cell(&mut client, &report).is_some(), "{encoding}: {format}");
        }
    }
}

/// A function that PUBLIC may call must not reveal secrets of the servers.
#[test]
fn a_played_exchange_does_not_tell_the_salt_of_an_unknown_user() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let after_nonce = "regexp_replace(%s, '^r=[^,]*,', '')";
    let real = format!(
        "SELECT {} FROM scram.handshake_start('n,,n=zed,r=abc', NULL)",
        after_nonce.replace("%s", "server_first")
    );
    let played = format!(
        "SELECT {} FROM scram.handshake('x', scram.generate('x', mechanism => 'SCRAM-SHA-512'),
             'zed', mechanism => 'SCRAM-SHA-256') WHERE step = 2",
        after_nonce.replace("%s", "message")
    );
    assert_ne!(cell(&mut client, &real), cell(&mut client, &played));
    assert_ne!(cell(&mut client, &played), cell(&mut client, &played));
}

#[test]
fn no_role_is_made_to_run_an_audit() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE pauper; GRANT CREATE ON SCHEMA public TO pauper; SET ROLE pauper;
             CREATE TABLE trap AS SELECT 1 AS a;
             CREATE FUNCTION deputy(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
                 IF session_user <> current_user AND current_setting('role') = 'none' THEN
                     PERFORM scram_internal.begin_run('1 hour');
                 END IF;
                 RETURN 1;
             END $$;
             CREATE INDEX ON trap (deputy(a));
             RESET ROLE",
        )
        .expect("a trap");
    assert_eq!(Raised::by(&mut client, "ANALYZE trap").code, "42501");
    assert_eq!(cell(&mut client, "SELECT count(*) FROM scram.audit_run").as_deref(), Some("0"));
}

/// A database with the extension in this encoding.
fn database(cluster: &Cluster, admin: &mut Client, encoding: &str) -> Client {
    let name = encoding.to_lowercase();
    admin
        .batch_execute(&format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        ))
        .expect(encoding);
    let mut client = cluster.client_as("postgres", &name);
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    client
}
