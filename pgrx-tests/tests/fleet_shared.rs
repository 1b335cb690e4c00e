//! Stored secrets that clusters of a fleet share, found by digests under a key that the administrator gives them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use postgres::Client;
use scram_ext_client_tests::fleet::{State, audited, audited_with, collector, refresh};
use scram_ext_client_tests::{Cluster, Raised, cell, rows, text};

const KEY: &str = "a key of the fleet, of 32 bytes or more";
const SHARED: &str = "SELECT kind, clusters, members FROM scram.fleet_shared ORDER BY kind";

/// A file that the server can read, and no other user of the system.
fn key_file(cluster: &Cluster, key: &str, mode: u32) -> String {
    let file = cluster.dir().join("fleet_key").display().to_string();
    let copy = format!("COPY (SELECT '{key}') TO '{file}'");
    cluster.client().batch_execute(&copy).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its mode");
    file
}

/// Has the collector's role make digests with this key.
fn give_key(cluster: &Cluster, key: &str) {
    let file = key_file(cluster, key, 0o600);
    let sql = format!(
        "LOAD 'scram_ext'; ALTER ROLE fleet_auditor SET scram.fleet_key_file = '{file}';
         GRANT EXECUTE ON FUNCTION scram.fleet_digests() TO fleet_auditor"
    );
    cluster.client().batch_execute(&sql).expect("a key");
}

/// A role with this stored secret.
fn role(cluster: &Cluster, name: &str, secret: &str) {
    let sql = format!("CREATE ROLE {name} LOGIN PASSWORD '{secret}'");
    cluster.client().batch_execute(&sql).expect("a role");
}

fn verifier(client: &mut Client, password: &str) -> String {
    cell(client, &format!("SELECT scram.generate('{password}')")).expect("a verifier")
}

#[test]
fn copied_secrets_are_found() {
    let servers = [(); 4].map(|()| audited());
    let [a, b, c, _] = &servers;
    for server in &servers {
        give_key(server, KEY);
    }
    let copied = verifier(&mut a.client(), "Xq8-copied");
    role(a, "app", &copied);
    role(a, "twin", &copied);
    role(b, "\"other app\"", &copied);
    // PostgreSQL hashes the password with the role's name, so that equal hashes are of equal names and passwords.
    let md5 = "SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'Xq8-old'";
    b.client().batch_execute(md5).expect("a role");
    c.client().batch_execute(md5).expect("a role");
    // The same password with another salt, twice on one cluster, and no hash at all.
    let own = [a, b].map(|server| verifier(&mut server.client(), "Xq8-same"));
    role(a, "same", &own[0]);
    role(b, "same", &own[1]);
    let twice = verifier(&mut c.client(), "Xq8-twice");
    role(c, "one", &twice);
    role(c, "two", &twice);

    let collector = collector(&[a, b, c, &servers[3]]);
    let mut client = collector.client();
    assert_eq!(refresh(&mut client), ["a", "b", "c", "d"].map(State::seen));
    let expected = [
        [text("md5"), text("2"), text("{b/old,c/old}")],
        [text("scram-sha-256"), text("2"), text("{a/app,a/twin,\"b/other app\"}")],
    ];
    assert_eq!(rows(&mut client, SHARED), expected);

    let report = cell(&mut client, "SELECT scram.fleet_report()").expect("a report");
    assert!(report.contains("SECRETS THAT CLUSTERS SHARE (2)"), "{report}");
    assert!(report.contains("- md5 in 2 clusters: b/old, c/old"), "{report}");
    let page = cell(&mut client, "SELECT scram.fleet_report('html')").expect("a page");
    assert!(page.contains("a/app, a/twin"), "{page}");
    let metrics = cell(&mut client, "SELECT scram.fleet_report('prometheus')").expect("metrics");
    let number =
        |line: &str| line.starts_with("scram_audit_fleet_shared_secrets{") && line.ends_with(" 2");
    assert!(metrics.lines().any(number) && !metrics.contains("twin"), "{metrics}");

    // What has come is none of what is stored there.
    let digests = "SELECT encode(digest, 'hex') FROM scram_internal.fleet_digest";
    let digests: Vec<_> = rows(&mut client, digests).into_iter().flatten().flatten().collect();
    assert_eq!(digests.len(), 4 * 2 + 3 + 3 + 3);
    let bare =
        cell(&mut client, &format!("SELECT encode(sha256('{copied}'), 'hex')")).expect("a hash");
    assert!(digests.iter().all(|digest| !bare.starts_with(digest)));

    // A role that is gone shares nothing, and a server that leaves takes its digests with it.
    b.client().batch_execute("DROP ROLE \"other app\"").expect("a role less");
    refresh(&mut client);
    assert_eq!(rows(&mut client, SHARED), expected[..1]);
    client.batch_execute("DELETE FROM scram.fleet_server WHERE name = 'c'").expect("it leaves");
    assert!(rows(&mut client, SHARED).is_empty());
}

#[test]
fn without_a_common_key_nothing_is_compared() {
    let servers = [(); 4].map(|()| audited());
    let [a, b, no_key, no_right] = &servers;
    let copied = verifier(&mut a.client(), "Xq8-copied");
    for server in &servers {
        role(server, "app", &copied);
    }
    give_key(a, KEY);
    give_key(b, "another key of the fleet, also long enough");
    give_key(no_key, KEY);
    give_key(no_right, KEY);
    no_key
        .client()
        .batch_execute("ALTER ROLE fleet_auditor RESET scram.fleet_key_file")
        .expect("no key");
    no_right
        .client()
        .batch_execute("REVOKE EXECUTE ON FUNCTION scram.fleet_digests() FROM fleet_auditor")
        .expect("no right");
    let collector = collector(&[a, b, no_key, no_right]);
    let mut client = collector.client();
    assert_eq!(refresh(&mut client), ["a", "b", "c", "d"].map(State::seen));
    assert!(rows(&mut client, SHARED).is_empty());
    let with_digests = "SELECT DISTINCT server FROM scram_internal.fleet_digest ORDER BY 1";
    assert_eq!(rows(&mut client, with_digests), [[text("a")], [text("b")]]);
    let digests = "SELECT count(*) FROM scram.fleet_digests()";
    assert_eq!(cell(&mut no_key.client(), digests), text("0"));

    // A line end after the key does not count; with the right the server takes part.
    no_right
        .client()
        .batch_execute("GRANT EXECUTE ON FUNCTION scram.fleet_digests() TO fleet_auditor")
        .expect("a right");
    let file = no_right.dir().join("fleet_key");
    fs::write(&file, KEY).expect("a key without a line end");
    refresh(&mut client);
    let app = [[text("scram-sha-256"), text("2"), text("{a/app,d/app}")]];
    let of_app = format!("SELECT * FROM ({SHARED}) s WHERE members::text LIKE '%app%'");
    assert_eq!(rows(&mut client, &of_app), app);
}

#[test]
fn files_that_are_no_key() {
    let server = audited();
    give_key(&server, KEY);
    let collector = collector(&[&server]);
    let mut client = collector.client();
    let mut there = server.client();
    let dir = server.dir().display();
    there.batch_execute(&format!("COPY (SELECT 'short') TO '{dir}/short'")).expect("a file");
    there
        .batch_execute(&format!("COPY (SELECT repeat('x', 4097)) TO '{dir}/long'"))
        .expect("a file");
    for file in ["short", "long"] {
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(server.dir().join(file), private).expect("its mode");
    }
    let pipe = server.dir().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    fs::set_permissions(&pipe, fs::Permissions::from_mode(0o666)).expect("its mode");
    for (file, why) in [
        ("missing", "No such file"),
        ("pipe", "no regular file"),
        ("short", "32 to 4096 bytes"),
        ("long", "32 to 4096 bytes"),
        (".", "no regular file"),
    ] {
        let file = format!("{dir}/{file}");
        there.batch_execute(&format!("SET scram.fleet_key_file = '{file}'")).expect("a setting");
        let raised = Raised::by(&mut there, "SELECT * FROM scram.fleet_digests()");
        assert_eq!(raised.code, "58030", "{raised:?}");
        let detail = raised.detail.unwrap_or_default();
        assert!(detail.contains(why) && detail.contains(&file), "{detail}");
    }

    // A file that all can read is none; the collector says so and keeps what it has.
    assert_eq!(refresh(&mut client), [State::seen("a")]);
    key_file(&server, KEY, 0o644);
    let states = refresh(&mut client);
    states[0].fails_with(&["readable for other users"]);
    let kept = "SELECT count(*) > 0 FROM scram.fleet_findings";
    assert_eq!(cell(&mut client, kept), text("t"));
}

#[test]
fn the_key_and_the_digests_are_the_administrators() {
    let server = audited();
    let mut admin = server.client();
    admin.batch_execute("CREATE ROLE eve LOGIN").expect("a role");
    give_key(&server, KEY);
    let mut eve = server.client_as("eve", "postgres");
    let digests = "SELECT * FROM scram.fleet_digests()";
    assert_eq!(Raised::by(&mut eve, digests).code, "42501");
    // A key of one's own would tell whether a role has a verifier that is at hand.
    admin.batch_execute("GRANT EXECUTE ON FUNCTION scram.fleet_digests() TO eve").expect("a right");
    for set in ["LOAD 'scram_ext'", "SELECT scram.identify('x')"] {
        let mut eve = server.client_as("eve", "postgres");
        // Before the library is loaded, the server knows no owner of the setting.
        let file = server.dir().join("fleet_key").display().to_string();
        eve.batch_execute(&format!("SET scram.fleet_key_file = '{file}'")).expect("a placeholder");
        // It warns that the setting is not eve's to set, or fails.
        eve.batch_execute(set).unwrap_or(());
        assert!(rows(&mut eve, digests).is_empty(), "{set}");
        let raised = Raised::by(&mut eve, "SET scram.fleet_key_file = '/tmp/x'");
        assert_eq!(raised.code, "42501", "{raised:?}");
    }
}

/// A reader of digests who has no key stores hashes of guesses as its own, to compare its digest with another role's.
#[test]
fn digests_answer_no_guess_of_another_roles_password() {
    let server = audited();
    give_key(&server, KEY);
    let victim = "SET password_encryption = 'md5'; CREATE ROLE victim LOGIN PASSWORD 'summer'";
    server.client().batch_execute(victim).expect("a role");
    let mut auditor = server.client_as("fleet_auditor", "postgres");
    let guess = "DO $$ BEGIN
        EXECUTE format('ALTER ROLE fleet_auditor PASSWORD %L', 'md5' || md5('summer' || 'victim')); END $$";
    auditor.batch_execute(guess).expect("a hash of its own");
    let same = "SELECT count(*), count(DISTINCT digest) FROM scram.fleet_digests()
        WHERE kind = 'md5' AND subject IN ('victim', 'fleet_auditor')";
    assert_eq!(rows(&mut auditor, same), [[text("2"), text("2")]]);
}

/// A standby has the roles and the settings of its primary, so that it makes digests too.
#[test]
fn a_standby_makes_digests() {
    let primary = audited_with(Cluster::builder().hba("local replication all trust"));
    give_key(&primary, KEY);
    let standby = primary.standby();
    let digests = "SELECT subject, kind, digest FROM scram.fleet_digests() ORDER BY subject";
    let there = rows(&mut standby.client_as("fleet_auditor", "postgres"), digests);
    assert!(!there.is_empty());
    assert_eq!(there, rows(&mut primary.client_as("fleet_auditor", "postgres"), digests));
}

/// The bounds on an answer leave room for as many findings and digests as a server is asked for.
#[test]
fn a_large_server_is_collected_with_its_digests() {
    let server = audited();
    give_key(&server, KEY);
    let large = "
        INSERT INTO scram.audit_finding (finding_id, source, subject, check_id, severity, evidence, facts, first_run,
            last_run, status, decided_by)
        SELECT 1000 + g, 'role', rpad('role' || g, 63, 'x'), 'shared_salt', 'warning', repeat('e', 350), '', 1, 1, 'open', 'role'
        FROM generate_series(1, 10000) g;
        CREATE OR REPLACE FUNCTION scram.fleet_digests() RETURNS TABLE (subject text, kind text, digest bytea)
        LANGUAGE sql AS $$
            SELECT rpad('role' || g, 63, 'x'), 'scram-sha-256', substr(sha256(g::text::bytea), 1, 16)
            FROM generate_series(1, 20001) g $$";
    server.client().batch_execute(large).expect("findings and digests");
    let collector = collector(&[&server]);
    let mut client = collector.client();
    client.batch_execute("SET scram.fleet_timeout = 60").expect("a setting");
    assert_eq!(refresh(&mut client), [State::seen("a")]);
    let counts = "SELECT (SELECT count(*) FROM scram.fleet_findings),
        (SELECT count(*) FROM scram_internal.fleet_digest)";
    assert_eq!(rows(&mut client, counts), [[text("10000"), text("20000")]]);
}

/// A server of another owner sends what it likes.
#[test]
fn hostile_digests() {
    let servers = [(); 4].map(|()| audited());
    let digests = [
        "SELECT 'ann', 'md5', '\\x00'::bytea",
        "SELECT 'ann', 'md5', decode(repeat('00', 16), 'hex') FROM generate_series(1, 2)",
        "SELECT repeat('x', 1000), E'\\n<b>', decode(repeat('00', 16), 'hex')",
        "SELECT g::text, 'md5', decode(repeat('00', 100), 'hex') FROM generate_series(1, 1000000000) g",
    ];
    for (server, digests) in servers.iter().zip(digests) {
        give_key(server, KEY);
        let sql = format!(
            "DROP EXTENSION scram_ext CASCADE; CREATE SCHEMA scram;
             CREATE TABLE scram.audit_run (run_id bigint, started_at timestamptz, finished_at timestamptz, status text,
                 subjects bigint, candidates_tested bigint, candidates_left bigint, findings_new bigint,
                 findings_fixed bigint, findings_open bigint);
             CREATE TABLE scram.audit_finding (finding_id bigint, source text, subject text, check_id text, severity text,
                 evidence text, first_run bigint, last_run bigint, status text, accepted_until timestamptz, is_off boolean);
             CREATE TABLE scram.audit_census (run_id bigint, source text, kind text, iterations int, subjects bigint, entry int);
             CREATE FUNCTION scram.fleet_digests() RETURNS TABLE (subject text, kind text, digest bytea)
                 LANGUAGE sql AS $f$ {digests} $f$;
             GRANT USAGE ON SCHEMA scram TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA scram TO PUBLIC;"
        );
        server.client().batch_execute(&sql).expect("a hostile schema");
    }
    let [a, b, c, d] = &servers;
    let collector = collector(&[a, b, c, d]);
    let mut client = collector.client();
    client.batch_execute("SET scram.fleet_timeout = 5").expect("a setting");
    let states = refresh(&mut client);
    for state in &states[..3] {
        state.fails_with(&["not one of scram_ext"]);
    }
    states[3].fails_with(&[
        "not one of scram_ext",
        "more rows or bytes",
        "statement timeout",
        "within 5 s",
    ]);
    assert_eq!(cell(&mut client, "SELECT count(*) FROM scram_internal.fleet_digest"), text("0"));
}
