//! The rows of `explain_login`: remedies that help, limits, privileges, and nothing secret.

use std::fs;

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows, until};

const RULES: &str = "local all postgres trust\nlocal all all scram-sha-256\n";

/// Runs one remedy after the other, as an administrator would, until the login works.
#[test]
fn the_remedies_lead_to_a_login() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    cluster.reload_hba(&mut admin, RULES);
    admin
        .batch_execute(
            "CREATE ROLE \"Ann B\" CONNECTION LIMIT 0 PASSWORD 'Xq8-secret-9' VALID UNTIL '2001-01-01'",
        )
        .expect("a role");
    admin.batch_execute("CREATE DATABASE \"the shop\"").expect("a database");
    admin
        .batch_execute(
            "REVOKE CONNECT ON DATABASE \"the shop\" FROM PUBLIC;
             ALTER DATABASE \"the shop\" ALLOW_CONNECTIONS false CONNECTION LIMIT 0;
             ALTER ROLE \"Ann B\" IN DATABASE \"the shop\" SET session_preload_libraries = 'lost';
             CREATE ROLE gone; ALTER DATABASE \"the shop\" SET role = 'gone'; DROP ROLE gone",
        )
        .expect("obstacles");
    let explain = "SELECT remedy FROM scram.explain_login('Ann B', 'the shop') WHERE remedy IS NOT NULL LIMIT 1";
    let mut done = Vec::new();
    while let Some([Some(remedy)]) =
        rows(&mut client_of(&cluster), explain).first().map(Vec::as_slice)
    {
        assert!(!done.contains(remedy), "it did not help: {remedy}");
        admin.batch_execute(remedy).unwrap_or_else(|error| panic!("{error:?}: {remedy}"));
        done.push(remedy.clone());
    }
    assert_eq!(done.len(), 8, "{done:#?}");
    let socket = cluster.dir().display().to_string();
    let login = [("host", &*socket), ("user", "Ann B"), ("dbname", "the shop")];
    let psql = cluster.psql_connect(&login, Some("Xq8-secret-9"), "SELECT 1");
    assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
    let verdict =
        "SELECT ok FROM scram.explain_login('Ann B', 'the shop') WHERE check_name = 'login'";
    assert_eq!(cell(&mut admin, verdict).as_deref(), Some("t"));

    // The line for pg_hba.conf lets the login in, too.
    let missing = "SELECT remedy FROM scram.explain_login('Ann B', 'the shop', hba => 'local all postgres trust')
                   WHERE remedy IS NOT NULL";
    let line = cell(&mut admin, missing).expect("a line");
    let with_line = format!(
        "SELECT ok FROM scram.explain_login('Ann B', 'the shop', hba => 'local all postgres trust' || E'\\n' || $line${line}$line$)
         WHERE check_name = 'login'"
    );
    assert_eq!(cell(&mut admin, &with_line).as_deref(), Some("t"), "{line}");
}

/// A name that begins with a slash: a regular expression in pg_hba.conf since PostgreSQL 16, also in quotes.
#[test]
fn a_line_for_a_name_with_a_slash_lets_in_that_name_alone() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let names = [r#"/a.b|c "d"\e"#, "/a.b", "/", "/^x$"];
    let others = ["a", "c", "/aXb", "xx", "x", "/a.bc", "y/a.b"];
    for name in names.iter().chain(&others) {
        let name = name.replace('"', "\"\"");
        admin
            .batch_execute(&format!("CREATE ROLE \"{name}\" LOGIN PASSWORD 'Xq8-secret-9'"))
            .expect("a role");
        admin.batch_execute(&format!("CREATE DATABASE \"{name}\"")).expect("a database");
    }
    let socket = cluster.dir().display().to_string();
    let opens = |role: &str, database: &str| {
        let login = [("host", &*socket), ("user", role), ("dbname", database)];
        cluster.psql_connect(&login, Some("Xq8-secret-9"), "SELECT 1").status.success()
    };
    for name in names {
        let rules = "local all postgres trust";
        cluster.reload_hba(&mut admin, &format!("{rules}\n"));
        let explain =
            "SELECT remedy FROM scram.explain_login($1::text::name, $1::text::name, hba => $2)
                       WHERE check_name = 'rule'";
        let line: String = admin.query_one(explain, &[&name, &rules]).expect("a row").get(0);
        let text = format!("{rules}\n{line}\n");
        let verdict =
            "SELECT ok FROM scram.explain_login($1::text::name, $1::text::name, hba => $2)
                       WHERE check_name = 'login'";
        let ok: Option<bool> = admin.query_one(verdict, &[&name, &text]).expect("a row").get(0);
        assert_eq!(ok, Some(true), "{text}");
        cluster.reload_hba(&mut admin, &text);
        assert!(opens(name, name), "{text}");
        for other in names.into_iter().chain(others).filter(|other| *other != name) {
            assert!(!opens(other, name) && !opens(name, other), "{other}: {text}");
        }
    }
}

/// The line of pg_ident.conf for such a name.
#[test]
fn a_map_for_a_name_with_a_slash_is_for_that_name_alone() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE ROLE \"/a.b\" LOGIN; CREATE ROLE \"/aXb\" LOGIN").expect("roles");
    let rules = "local all postgres trust\nlocal all all peer map=m\n";
    cluster.reload_hba(&mut admin, rules);
    let remedy = "SELECT remedy FROM scram.explain_login('/a.b') WHERE check_name = 'method'";
    let line = cell(&mut admin, remedy).expect("a line");
    // An expression for each user of the system.
    let map = line.replace("os_user", "/.");
    fs::write(cluster.dir().join("data/pg_ident.conf"), format!("{map}\n")).expect("a map");
    cluster.reload_hba(&mut admin, rules);
    let socket = cluster.dir().display().to_string();
    let opens = |role: &str| {
        let login = [("host", &*socket), ("user", role), ("dbname", "postgres")];
        cluster.psql_connect(&login, None, "SELECT 1").status.success()
    };
    assert!(opens("/a.b"), "{map}");
    assert!(!opens("/aXb"), "{map}");
}

fn client_of(cluster: &Cluster) -> Client {
    cluster.client()
}

/// The limits that count sessions, with sessions that are open.
#[test]
fn limits_that_are_reached() {
    let cluster = Cluster::builder()
        .conf("max_connections = 6")
        .conf("superuser_reserved_connections = 2")
        .conf("max_wal_senders = 0")
        .conf("log_line_prefix = '%e|'")
        .hba("local all,replication all trust")
        .start();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE ROLE ann LOGIN; CREATE ROLE root LOGIN SUPERUSER;
             CREATE ROLE one LOGIN CONNECTION LIMIT 1; CREATE ROLE standby LOGIN REPLICATION",
        )
        .expect("roles");
    agree(&cluster, &mut admin, "standby", true);
    agree(&cluster, &mut admin, "one", false);
    let one = cluster.client_as("one", "postgres");
    agree(&cluster, &mut admin, "one", false);
    let mut open = vec![one];
    for _ in 0..2 {
        agree(&cluster, &mut admin, "ann", false);
        agree(&cluster, &mut admin, "one", false);
        open.push(cluster.client_as("ann", "postgres"));
    }
    // Two slots are left, for superusers.
    agree(&cluster, &mut admin, "ann", false);
    agree(&cluster, &mut admin, "root", false);
    open.push(cluster.client());
    open.push(cluster.client());
    agree(&cluster, &mut admin, "root", false);
    agree(&cluster, &mut admin, "missing", false);
    drop(open);
}

/// Compares the verdict with a login over the socket.
fn agree(cluster: &Cluster, admin: &mut Client, role: &str, replication: bool) {
    // A session that has ended keeps its slot for a moment.
    let count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    let expected = cell(admin, count);
    let socket = cluster.dir().display().to_string();
    let mut login = vec![("host", &*socket), ("user", role), ("dbname", "postgres")];
    if replication {
        login.push(("replication", "true"));
    }
    let explain = format!(
        "SELECT ok, detail FROM scram.explain_login('{role}', replication => {replication}) WHERE check_name = 'login'"
    );
    let verdict = rows(admin, &explain).remove(0);
    let before = cluster.log().len();
    let sql = if replication { "IDENTIFY_SYSTEM" } else { "SELECT 1" };
    let psql = cluster.psql_connect(&login, None, sql);
    let log = cluster.log().split_off(before);
    let found = match log.lines().find_map(|line| line.split_once("|FATAL:  ")) {
        Some((code, message)) => [
            Some("f".to_owned()),
            Some(format!("the server refuses the login with SQLSTATE {code}: {message}")),
        ],
        None => [Some("t".to_owned()), Some("the server accepts the login".to_owned())],
    };
    assert_eq!(psql.status.success(), found[0].as_deref() == Some("t"));
    assert_eq!(verdict, found, "{role}");
    until("the session has ended", || (cell(admin, count) == expected).then_some(()));
}

#[test]
fn a_file_that_is_not_loaded_or_broken() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE ROLE ann LOGIN").expect("a role");
    let verdict = "SELECT concat_ws(': ', coalesce(ok::text, 'unknown'), detail) FROM scram.explain_login('ann')
                   WHERE check_name = 'rule'";
    let file = cluster.dir().join("data/pg_hba.conf");
    let before = cell(&mut admin, verdict).expect("a row");
    assert!(before.starts_with("true: pg_hba.conf:1: local all all trust"), "{before}");
    for (text, words) in [
        ("local all all reject\n", "was changed and may not be loaded yet"),
        ("local all\n", "keeps the rules that it loaded before"),
    ] {
        fs::write(&file, text).expect("pg_hba.conf");
        let found = cell(&mut admin, verdict).expect("a row");
        assert!(found.starts_with("unknown: ") && found.contains(words), "{found}");
    }
    fs::remove_file(&file).expect("pg_hba.conf");
    let found = cell(&mut admin, verdict).expect("a row");
    assert!(found.starts_with("unknown: "), "{found}");
}

#[test]
fn who_may_ask_and_what_is_shown() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    cluster.reload_hba(&mut admin, "local all all trust\nhost all all all ldap ldapserver=x ldapbasedn=y ldapbindpasswd=hunter2\n");
    admin
        .batch_execute(
            "CREATE ROLE ann LOGIN PASSWORD 'Xq8-secret-9'; CREATE ROLE helper LOGIN;
             ALTER ROLE ann SET my.token = 'hunter2'; ALTER ROLE ann SET scram_token.x = 'hunter2'",
        )
        .expect("roles");
    let mut helper = cluster.client_as("helper", "postgres");
    let all = "SELECT string_agg(concat_ws('|', step, check_name, ok, detail, remedy), E'\\n')
               FROM scram.explain_login('ann', client => '127.0.0.1')";
    assert_eq!(Raised::by(&mut helper, all).code, "42501");
    admin
        .batch_execute(
            "GRANT EXECUTE ON FUNCTION scram.explain_login(name, name, inet, boolean, boolean, text) TO helper",
        )
        .expect("a grant");
    let shown = cell(&mut helper, all).expect("rows");
    let secret = cell(&mut admin, "SELECT rolpassword FROM pg_authid WHERE rolname = 'ann'");
    let secret = secret.expect("a secret");
    let parts = secret.split(['$', ':']).filter(|part| part.len() > 20);
    for part in parts.chain(["hunter2"]) {
        assert!(!shown.contains(part), "{shown}");
    }
    assert!(shown.contains("ldapbindpasswd=..."), "{shown}");

    // Included files are read for readers of the server's files only.
    fs::write(cluster.dir().join("data/names"), "ann\n").expect("names");
    let include = "SELECT detail FROM scram.explain_login('ann', hba => 'local all @names trust') WHERE step = 2";
    assert_eq!(Raised::by(&mut helper, include).code, "42501");
    assert!(cell(&mut admin, include).is_some());
    // A text with a password stays out of the log, also if it is refused.
    let bad = "SELECT FROM scram.explain_login('ann', hba => 'host all all all ldap ldapbindpasswd=hunter2')";
    let raised = Raised::by(&mut helper, bad);
    assert_eq!(raised.code, "22023");
    assert!(raised.texts().all(|text| !text.contains("hunter2")), "{raised:?}");
    let log = cluster.log();
    assert!(!log.contains("ldapbindpasswd=hunter2')"), "{log}");

    let network = "SELECT FROM scram.explain_login('ann', client => '10.0.0.0/8')";
    assert_eq!(Raised::by(&mut helper, network).code, "22023");
}

/// Objects of the caller do not stand in for the server's.
#[test]
fn the_callers_objects_are_not_used() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE ann LOGIN; CREATE ROLE mallory LOGIN;
             GRANT EXECUTE ON FUNCTION scram.explain_login(name, name, inet, boolean, boolean, text) TO mallory;
             CREATE SCHEMA m AUTHORIZATION mallory; GRANT TEMPORARY ON DATABASE postgres TO mallory",
        )
        .expect("roles");
    let mut mallory = cluster.client_as("mallory", "postgres");
    let all = "SELECT string_agg(x::text, ',') FROM scram.explain_login('ann', 'postgres', '127.0.0.1') x";
    let expected = cell(&mut mallory, all);
    mallory
        .batch_execute(
            "CREATE FUNCTION m.trap() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'as %', current_user; END $$;
             CREATE FUNCTION m.quote_ident(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'as %', current_user; END $$;
             CREATE FUNCTION m.texteq_trap(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'as %', current_user; END $$;
             CREATE OPERATOR m.= (LEFTARG = text, RIGHTARG = text, FUNCTION = m.texteq_trap);
             CREATE TEMPORARY VIEW pg_authid AS SELECT m.trap();
             CREATE TEMPORARY VIEW pg_hba_file_rules AS SELECT m.trap();
             CREATE TEMPORARY VIEW pg_db_role_setting AS SELECT m.trap();
             SET search_path = m, pg_temp, pg_catalog",
        )
        .expect("traps");
    assert_eq!(cell(&mut mallory, all), expected);
}
