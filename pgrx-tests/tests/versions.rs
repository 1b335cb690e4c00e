//! What differs between PostgreSQL's major versions: each feature of the table in `src/versions.rs`, on
//! the server at hand, with the answer of either side.

use std::time::{Duration, Instant};

use postgres::Client;
use scram_ext_client_tests::port::server_first;
use scram_ext_client_tests::versions::{FEATURES, major};
use scram_ext_client_tests::{Cluster, Feature, Raised, cell, docs, rows};

/// What a statement comes to: `ok`, or the SQLSTATE.
fn outcome(client: &mut Client, sql: &str) -> String {
    match client.simple_query(sql) {
        Ok(_) => "ok".to_owned(),
        Err(error) => Raised::from_error(&error).code,
    }
}

/// The checks that find something on a role, or on the server if `None`.
fn checks(client: &mut Client, role: Option<&str>) -> Vec<String> {
    let kind = if role.is_some() { "role" } else { "server" };
    let subject = role.map_or_else(String::new, |role| format!(" AND subject = '{role}'"));
    let sql = format!(
        "SELECT DISTINCT check_id FROM scram.audit() WHERE source = '{kind}'{subject} ORDER BY 1"
    );
    rows(client, &sql).into_iter().flatten().flatten().collect()
}

fn finds(client: &mut Client, role: Option<&str>, check: &str) -> bool {
    checks(client, role).iter().any(|found| found == check)
}

#[test]
fn the_tested_server_is_the_one_of_pg_config() {
    let cluster = Cluster::start();
    let version = cell(&mut cluster.client(), "SHOW server_version_num").expect("a number");
    assert_eq!(version.parse::<u32>().expect("a number") / 10_000, major());
}

/// The page lists the table's lines in their order.
#[test]
fn the_page_on_compatibility_lists_the_differences() {
    let page = docs::read("docs/compatibility.md");
    let table = docs::table(&page, "| since | difference |");
    let listed: Vec<_> = table.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let known: Vec<_> =
        FEATURES.iter().map(|(_, since, line)| (since.to_string(), (*line).to_owned())).collect();
    assert_eq!(listed, known);
}

#[test]
fn createrole_needs_the_admin_option() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE creator LOGIN CREATEROLE; CREATE ROLE other LOGIN; CREATE ROLE own LOGIN;
             CREATE ROLE copier LOGIN REPLICATION; GRANT own, copier TO creator WITH ADMIN OPTION;
             GRANT EXECUTE ON FUNCTION scram.set_role_password(name, text, integer, timestamptz) TO creator",
        )
        .expect("roles");
    let mut creator = cluster.client_as("creator", "postgres");
    let set = |role: &str| format!("SELECT scram.set_role_password('{role}', 'Xq8-secret')");
    let is_new = Feature::AdminOption.is_there();
    for (role, before, after) in
        [("own", "ok", "ok"), ("other", "ok", "42501"), ("copier", "42501", "ok")]
    {
        let expected = if is_new { after } else { before };
        assert_eq!(outcome(&mut creator, &set(role)), expected, "{role}");
        // The server's own command agrees.
        let alter = format!("ALTER ROLE {role} PASSWORD 'Xq8-secret'");
        assert_eq!(outcome(&mut creator, &alter), expected, "{role}");
    }
}

#[test]
fn patterns_and_includes_of_pg_hba() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE alice LOGIN PASSWORD 'Xq8-secret'").expect("a role");
    let is_new = Feature::HbaPatterns.is_there();

    // Earlier the slash is a part of a name.
    cluster.reload_hba(
        &mut client,
        "local all postgres trust\nhost all /^al 127.0.0.1/32 scram-sha-256\n",
    );
    assert_eq!(finds(&mut client, Some("alice"), "no_matching_hba_rule"), !is_new);
    let opens = cluster.psql_opens(Some("127.0.0.1"), "alice", "postgres", "Xq8-secret");
    assert_eq!(opens, is_new);

    // Earlier the line is an error, and the server does not load the file.
    let rule = cluster.dir().join("data/more.conf");
    std::fs::write(rule, "host all alice 127.0.0.1/32 scram-sha-256\n").expect("a file");
    cluster.reload_hba(&mut client, "local all postgres trust\ninclude more.conf\n");
    assert_eq!(finds(&mut client, None, "hba_unreadable"), !is_new);
    if is_new {
        assert!(!finds(&mut client, Some("alice"), "no_matching_hba_rule"));
    }
}

/// Ten million iterations take the server seconds. A login that derives them ends in time only if the
/// derivation can be interrupted.
#[test]
fn the_servers_derivation_can_be_interrupted() {
    const LONG: Duration = Duration::from_secs(4);
    let cluster = Cluster::builder()
        .hba("host all alice 127.0.0.1/32 password")
        .conf("authentication_timeout = 1s")
        .start();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE ROLE alice LOGIN;
             UPDATE pg_authid SET rolpassword = 'SCRAM-SHA-256$20000000:AAECAwQFBgcICQoLDA0ODw==$zHCdol2044/ZyWzPLi7oxApCkamKw9Z+E4U/QApd/5Y=:dd5peBOitVnLNFu7VmwP+HiDaaw4OUCv396eVCWhYiE='
             WHERE rolname = 'alice'",
        )
        .expect("a role");
    let begun = Instant::now();
    assert!(cluster.login("alice", b"pencil").is_err());
    let took = begun.elapsed();
    assert_eq!(took < LONG, Feature::InterruptibleDerivation.is_there(), "{took:?}");

    // The extension's own derivation can be interrupted with every version.
    let begun = Instant::now();
    let sql = "SET scram.max_iterations = 2147483647; SET statement_timeout = '1s';
               SELECT scram.verify('pencil', rolpassword) FROM pg_authid WHERE rolname = 'alice'";
    assert_eq!(outcome(&mut client, &sql.replace('\n', " ")), "57014");
    assert!(begun.elapsed() < LONG);
}

#[test]
fn no_rule_makes_a_view_of_a_table() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE TABLE t (name text, secret text)").expect("a table");
    let rule = "CREATE RULE \"_RETURN\" AS ON SELECT TO t DO INSTEAD SELECT ''::text AS name, ''::text AS secret";
    let made = outcome(&mut client, rule) == "ok";
    assert_eq!(made, !Feature::NoRuleMakesViews.is_there());
    // A view is never a source.
    let add = "SELECT scram.add_audit_source('t', 't', 'name', 'secret')";
    assert_eq!(outcome(&mut client, add), if made { "42809" } else { "ok" });
}

/// Whether unknown names get the count of the setting on the server's own port. Earlier they got 4096,
/// which revealed that they are unknown (CVE-2026-14672).
fn mocks_follow_the_setting(client: &mut Client) -> bool {
    let version = cell(client, "SHOW server_version_num").expect("a number");
    let version: u32 = version.parse().expect("a number");
    version
        >= match major() {
            16 => 160_015,
            17 => 170_011,
            _ => 180_006,
        }
}

/// A challenge is the server's own one for every role, also for an unknown name.
#[test]
fn iterations_follow_the_servers_setting() {
    let is_new = Feature::ScramIterations.is_there();
    let builder = Cluster::builder();
    let builder = if is_new { builder.conf("scram_iterations = 5000") } else { builder };
    let cluster = builder.start();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE EXTENSION scram_ext; CREATE ROLE alice LOGIN PASSWORD 'x'")
        .expect("a role");
    let generated = "SELECT iterations FROM scram.parse(scram.generate('x'))";
    let expected = if is_new { "5000" } else { "4096" };
    assert_eq!(cell(&mut client, generated).as_deref(), Some(expected));
    for name in ["alice", "nobody"] {
        let sql = format!(
            "SELECT substring(server_first FROM ',s=.*') FROM scram.role_handshake_start('n,,n=,r=abc', '{name}')"
        );
        let ours = cell(&mut client, &sql).expect("a challenge");
        let theirs = server_first(cluster.port(), name);
        assert!(ours.ends_with(&format!(",i={expected}")), "{name}: {ours}");
        let theirs = if name == "nobody" && !mocks_follow_the_setting(&mut client) {
            theirs.replace(",i=4096", &format!(",i={expected}"))
        } else {
            theirs
        };
        assert!(theirs.ends_with(&ours), "{name}: {ours}, {theirs}");
    }
    let set = outcome(&mut client, "SET scram_iterations = 6000");
    assert_eq!(set, if is_new { "ok" } else { "42704" });
    if !is_new {
        return;
    }
    assert_eq!(cell(&mut client, generated).as_deref(), Some("6000"), "the session's own");
    assert_eq!(mocked(&mut client), ["5000", "5000"], "with SET");
    // The role handshake runs in no parallel worker.
    client.batch_execute("SET debug_parallel_query = on").expect("parallel workers");
    assert_eq!(mocked(&mut client), ["5000", "5000"], "with SET, in a parallel worker");
    // RESET would set these, which a connection begins with.
    client
        .batch_execute("ALTER ROLE postgres SET scram_iterations = 7000")
        .expect("the role's own");
    let mut client = cluster.client();
    assert_eq!(cell(&mut client, generated).as_deref(), Some("7000"), "the role's own");
    assert_eq!(mocked(&mut client), ["5000", "5000"], "with ALTER ROLE");
    // In hexadecimal digits: 5500.
    for sql in ["ALTER SYSTEM SET scram_iterations = '0x157c'", "SELECT pg_reload_conf()"] {
        client.batch_execute(sql).expect(sql);
    }
    assert_eq!(mocked(&mut client), ["5500", "5500"], "with ALTER SYSTEM");
}

/// The counts that unknown names are challenged with: a caller that could change them would learn which names are known.
fn mocked(client: &mut Client) -> Vec<String> {
    ["role_handshake_start('n,,n=nobody,r=abc')", "handshake_start('n,,n=nobody,r=abc', NULL)"]
        .map(|call| {
            let sql = format!("SELECT substring(server_first FROM 'i=(.*)') FROM scram.{call}");
            cell(client, &sql).expect("a challenge")
        })
        .to_vec()
}

/// The setting ends a session whose transaction is too long. A run commits after each step, so that it
/// holds for one step only.
#[test]
fn a_run_within_a_transaction_timeout() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let set = outcome(&mut client, "SET transaction_timeout = '10s'");
    assert_eq!(set, if Feature::TransactionTimeout.is_there() { "ok" } else { "42704" });
    client
        .batch_execute(
            "CREATE ROLE alice LOGIN;
             UPDATE pg_authid SET rolpassword = scram.generate(gen_random_uuid()::text, 1000000) WHERE rolname = 'alice';
             INSERT INTO scram.wordlist SELECT 'word' || i FROM generate_series(1, 100000) i",
        )
        .expect("a long search");
    client.batch_execute("CALL scram.run_audit('13 s')").expect("a run");
    let run = "SELECT status, finished_at - started_at > interval '11 s' FROM scram.audit_run";
    let run = rows(&mut client, run);
    assert_eq!(run, [[Some("partial".to_owned()), Some("t".to_owned())]]);
}

#[test]
fn warnings_about_md5() {
    let cluster = Cluster::with_extension();
    let warned = |sql: &str| {
        let output = cluster.psql(&["-c", "SET password_encryption = 'md5'", "-c", sql]);
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8_lossy(&output.stderr).contains("WARNING")
    };
    let is_new = Feature::Md5Warnings.is_there();
    assert_eq!(warned("CREATE ROLE old LOGIN PASSWORD 'Xq8-old'"), is_new);
    assert!(finds(&mut cluster.client(), Some("old"), "md5_hash"));
    // The extension stores no MD5 hash, whatever the setting says.
    assert!(!warned("SELECT scram.set_role_password('old', 'Xq8-new')"));
    assert!(!finds(&mut cluster.client(), Some("old"), "md5_hash"));
}

#[test]
fn oauth_in_pg_hba() {
    let is_new = Feature::Oauth.is_there();
    let builder = Cluster::builder();
    let builder =
        if is_new { builder.conf("oauth_validator_libraries = 'validator'") } else { builder };
    let cluster = builder.start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext; CREATE ROLE alice LOGIN").expect("a role");
    let rule = "host all all 127.0.0.1/32 oauth issuer=\"https://example.org\" scope=\"openid\"";
    cluster.reload_hba(&mut client, &format!("local all postgres trust\n{rule}\n"));
    let error = "SELECT count(error) > 0 FROM pg_hba_file_rules";
    assert_eq!(cell(&mut client, error).as_deref(), Some(if is_new { "f" } else { "t" }));
    assert_eq!(finds(&mut client, None, "hba_unreadable"), !is_new);
    // It is a way in that needs no stored password.
    assert!(!finds(&mut client, Some("alice"), "no_matching_hba_rule"));
}

/// The extension makes no verifier that a newer server would refuse.
#[test]
fn the_cap_of_a_stored_secret() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE alice LOGIN PASSWORD 'x'").expect("a role");
    let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'";
    let before = cell(&mut client, stored);

    // The salt alone takes more than the limit.
    let salt = "repeat('A', 536)";
    let keys = "$zHCdol2044/ZyWzPLi7oxApCkamKw9Z+E4U/QApd/5Y=:dd5peBOitVnLNFu7VmwP+HiDaaw4OUCv396eVCWhYiE=";
    let long = format!("'SCRAM-SHA-256$4096:' || {salt} || '{keys}'");
    let alter =
        format!("DO $do$BEGIN EXECUTE format('ALTER ROLE alice PASSWORD %L', {long}); END$do$");
    let is_new = Feature::SecretCap.is_there();
    assert_eq!(outcome(&mut client, &alter), if is_new { "54000" } else { "ok" });
    assert_eq!(cell(&mut client, stored) == before, is_new);

    let generate = "SELECT scram.generate('Xq8-secret', 4096, decode(repeat('ab', 400), 'hex'))";
    let raised = Raised::by(&mut client, generate);
    assert_eq!(raised.code, "22023", "{raised:?}");
    assert!(raised.detail.unwrap_or_default().contains("512"));
    let longest = "SELECT scram.set_role_verifier('alice', scram.generate('Xq8-secret', 1000000, decode(repeat('ab', 255), 'hex')))";
    assert_eq!(outcome(&mut client, longest), "ok");
}

#[test]
fn virtual_generated_columns() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let table = |kind: &str| {
        format!(
            "CREATE TABLE {kind} (name text, secret text GENERATED ALWAYS AS ('plain ' || name) {kind})"
        )
    };
    let add =
        |kind: &str| format!("SELECT scram.add_audit_source('{kind}', '{kind}', 'name', 'secret')");
    assert_eq!(outcome(&mut client, &table("stored")), "ok");
    assert_eq!(outcome(&mut client, &add("stored")), "ok");
    let made = outcome(&mut client, &table("virtual"));
    if Feature::VirtualColumns.is_there() {
        assert_eq!(made, "ok");
        // No storage holds its values.
        assert_eq!(outcome(&mut client, &add("virtual")), "42809");
    } else {
        assert_eq!(made, "42601");
    }
}
