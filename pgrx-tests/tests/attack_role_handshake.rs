//! Attacks on roles' passwords through the handshake and the checks: superusers are out of reach, each
//! check is in the log, and no name forges a line there.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Feature, Raised, cell, rows, text, verify_role};

/// Answers of a whole exchange for a role, with a password: the challenge without its nonce, whether it
/// was accepted, and the error.
fn exchange(client: &mut Client, role: &str, password: &str) -> Vec<Option<String>> {
    let sql = format!(
        "WITH s AS MATERIALIZED (
             SELECT * FROM scram.role_handshake_start('n,,n={role},r=abc')
         ), v AS (
             SELECT coalesce(
                 (SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'), scram.generate('other')) AS verifier
         )
         SELECT substring(s.server_first FROM ',.*'), f.accepted, f.error
         FROM s, v,
             LATERAL scram.handshake('{password}', v.verifier, '{role}', NULL, 'abc',
                 substring(s.server_first FROM '^r=abc([^,]*),')) h,
             LATERAL scram.role_handshake_finish(s.state, h.message) f
         WHERE h.name = 'client-final-message'"
    );
    rows(client, &sql).remove(0)
}

#[test]
fn superusers_are_challenged_and_never_accepted() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'pencil';
             CREATE ROLE replica LOGIN REPLICATION PASSWORD 'pencil';
             CREATE ROLE plain LOGIN PASSWORD 'pencil'",
        )
        .expect("roles");
    let outcomes = |client: &mut Client| {
        ["boss", "replica", "plain"].map(|role| {
            let [challenge, accepted, error] =
                <[_; 3]>::try_from(exchange(client, role, "pencil")).expect("three columns");
            let stored = format!(
                "SELECT ',s=' || split_part(split_part(rolpassword, ':', 2), '$', 1) || ',i=4096'
                 FROM pg_authid WHERE rolname = '{role}'"
            );
            assert_eq!(challenge, cell(client, &stored), "{role}: its own salt and count");
            (accepted, error, verify_role(client, role, "pencil"))
        })
    };
    let refused = (text("f"), text("invalid-proof"), Some(false));
    let accepted = (text("t"), None, Some(true));
    assert_eq!(outcomes(&mut client), [refused.clone(), refused, accepted.clone()]);

    let mut plain = cluster.client_as("plain", "postgres");
    plain.batch_execute("LOAD 'scram_ext'").unwrap_or_default();
    cell(&mut plain, "SELECT scram.is_verifier('x')");
    let set = "SET scram.authenticate_superusers = on";
    assert_eq!(Raised::by(&mut plain, set).code, "42501");
    client.batch_execute(set).expect("the setting");
    assert_eq!(outcomes(&mut client), [accepted.clone(), accepted.clone(), accepted]);
    // A wrong password is wrong with every setting.
    assert_eq!(exchange(&mut client, "boss", "pen")[1..], [text("f"), text("invalid-proof")]);
}

fn lines(cluster: &Cluster, part: &str) -> usize {
    cluster.log().lines().filter(|line| line.contains(part)).count()
}

#[test]
fn each_decided_proof_is_logged() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE alice LOGIN PASSWORD 'pencil'; CREATE ROLE bob LOGIN PASSWORD 'pencil'",
        )
        .expect("roles");
    let line = |role: &str, result: &str| {
        format!(
            "scram.role_handshake_finish() checked a password of role \"{role}\" for \"postgres\": {result}"
        )
    };
    exchange(&mut client, "alice", "pencil");
    assert_eq!(lines(&cluster, &line("alice", "it matched")), 1);
    // A malformed message is not counted as a check of a password.
    let malformed = "SELECT f.error FROM scram.role_handshake_start('n,,n=alice,r=abc') s,
                     scram.role_handshake_finish(s.state, 'c=biws') f";
    assert_ne!(cell(&mut client, malformed), text("invalid-proof"));
    assert_eq!(lines(&cluster, &line("alice", "it did not match")), 0);

    // Failures on one role, or on unknown names, do not suppress those on another role.
    let guess = "DO $$
        DECLARE s record;
        BEGIN
            FOR i IN 1..500 LOOP
                SELECT * INTO s FROM scram.role_handshake_start('n,,n=' || %s || ',r=abc');
                PERFORM scram.role_handshake_finish(s.state, 'c=biws,' || split_part(s.server_first, ',', 1)
                    || ',p=' || encode(sha256(i::text::bytea), 'base64'));
            END LOOP;
        END $$";
    client.batch_execute(&guess.replace("%s", "'bob'")).expect("guesses");
    client.batch_execute(&guess.replace("%s", "'nobody' || i")).expect("guesses");
    let failed = lines(&cluster, &line("bob", "it did not match"));
    assert!((60..100).contains(&failed), "{failed} lines");
    exchange(&mut client, "alice", "pen");
    assert_eq!(lines(&cluster, &line("alice", "it did not match")), 1);
    // A match is always logged, even after the limit for failures is spent.
    exchange(&mut client, "bob", "pencil");
    assert_eq!(lines(&cluster, &line("bob", "it matched")), 1);

    // All are counted: by a later line, or by the end of the session.
    drop(client);
    let left_out = || {
        let log = cluster.log();
        let counts = log.lines().filter_map(|line| {
            let (_, rest) = line.split_once("LOG:  ")?;
            let (count, rest) = rest.split_once(" failed checks of ")?;
            rest.ends_with("were not logged").then(|| count.parse::<usize>().expect("a count"))
        });
        counts.sum::<usize>()
    };
    let logged = || lines(&cluster, "it did not match");
    scram_ext_client_tests::until("everything is accounted for", || {
        (logged() + left_out() == 500 + 500 + 1).then_some(())
    });
}

/// A password's check in a transaction that is rolled back is a check.
#[test]
fn a_rollback_hides_no_guess() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE creator LOGIN CREATEROLE; CREATE ROLE victim LOGIN PASSWORD 'pencil';
             GRANT EXECUTE ON FUNCTION scram.set_role_password(name, text, integer, timestamptz),
                 scram.set_role_verifier(name, text, timestamptz) TO creator",
        )
        .expect("roles");
    if Feature::AdminOption.is_there() {
        admin.batch_execute("GRANT victim TO creator WITH ADMIN OPTION").expect("a grant");
    }
    let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'victim'";
    let stored = cell(&mut admin, stored).expect("a verifier");
    let mut creator = cluster.client_as("creator", "postgres");
    for (call, action, line) in [
        (
            "set_role_password('victim', 'pen')".to_owned(),
            "set",
            "scram.set_role_password() checked a password of role \"victim\" for \"creator\": it did not match",
        ),
        (
            "set_role_password('victim', 'pencil')".to_owned(),
            "unchanged",
            "scram.set_role_password() checked a password of role \"victim\" for \"creator\": it matched",
        ),
        (
            format!("set_role_verifier('victim', '{stored}')"),
            "unchanged",
            "scram.set_role_verifier() checked a password of role \"victim\" for \"creator\": it matched",
        ),
    ] {
        creator.batch_execute("BEGIN").expect("a transaction");
        let said = cell(&mut creator, &format!("SELECT action FROM scram.{call}"));
        assert_eq!(said.as_deref(), Some(action), "{call}");
        creator.batch_execute("ROLLBACK").expect("rolled back");
        assert_eq!(lines(&cluster, line), 1, "{}", cluster.log());
    }
}

#[test]
fn no_name_forges_a_line_of_the_log() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let forged = "x\" for \"postgres\": it matched\n2026-01-01 LOG:  forged";
    verify_role(&mut client, forged, "pencil");
    let quoted = forged.replace('"', "\"\"");
    client
        .batch_execute(&format!(
            "CREATE ROLE \"{quoted}\" LOGIN PASSWORD 'pencil';
             GRANT EXECUTE ON FUNCTION scram.verify_role(name, text) TO \"{quoted}\""
        ))
        .expect("a role");
    verify_role(&mut client, forged, "pen");
    // The caller's name is escaped too. The server's own log_line_prefix holds the name of the
    // login.
    client.batch_execute(&format!("SET SESSION AUTHORIZATION \"{quoted}\"")).expect("the role");
    verify_role(&mut client, "postgres", "pen");
    let log = cluster.log();
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01 LOG:  forged")), "{log}");
    let shown = "\"x\"\" for \"\"postgres\"\": it matched\\n2026-01-01 LOG:  forged\"";
    assert_eq!(log.matches(&format!("role {shown} for \"postgres\": it did")).count(), 2, "{log}");
    assert_eq!(log.matches(&format!("role \"postgres\" for {shown}: it did")).count(), 1, "{log}");
}
