//! The guard: each rule, for plain text and for ready-made hashes, in each mode, beside other modules.

#[path = "guard/audit.rs"]
mod audit;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use postgres::{Client, Config, NoTls};
use scram_ext_client_tests::{Cluster, Raised, cell, rows, text, until, versions};

/// The verifier of the empty password.
const EMPTY: &str = "SCRAM-SHA-256$4096:c2FsdA==$oQKhUpZ8ZCSt/PIfYWS7v6gCcYNXgSk1XPQTp7UKcUY=:UOnDYDtjiNdPioWgm74LGN6HIzsybmGE0sdhZ2KbBrI=";

const GOOD: &str = "kT4-uvw-9182-xyz";

/// A rule, and an expression for a password of role "alice" that breaks it.
const CASES: &[(&str, &str)] = &[
    ("md5_hash", "'md5' || md5('kT4-uvw-9182-xyz' || 'alice')"),
    ("iterations_below_policy", "scram.generate('kT4-uvw-9182-xyz', 1000)"),
    ("iterations_above_maximum", "scram.generate('kT4-uvw-9182-xyz', 200000)"),
    ("scram_lax", "replace(scram.generate('kT4-uvw-9182-xyz'), '$4096:', '$ 4096:')"),
    ("scram_malformed", "left(scram.generate('kT4-uvw-9182-xyz'), 80)"),
    ("scram_malformed", "scram.generate('kT4-uvw-9182-xyz', mechanism => 'SCRAM-SHA-512')"),
    ("salt_short", "scram.generate('kT4-uvw-9182-xyz', 4096, '\\x0011223344556677')"),
    ("password_empty", "''"),
    ("password_empty", "'md5' || md5('alice')"),
    ("password_is_name", "'ALICE123'"),
    ("password_is_name", "'md5' || md5('alice123' || 'alice')"),
    ("password_is_name", "scram.generate('alice123')"),
    ("password_in_wordlist", "'Football'"),
    ("password_in_wordlist", "'md5' || md5('football' || 'alice')"),
    ("password_in_wordlist", "scram.generate('football')"),
    ("password_in_wordlist", "scram.generate('password', 50000)"),
    ("password_short", "'q7-qqz-81'"),
];

/// Texts of the cases that no message and no log may hold.
const SECRETS: &[&str] = &[GOOD, "ALICE123", "alice123", "Football", "football", "q7-qqz-81"];

fn guarded(libraries: &str) -> Cluster {
    Cluster::builder()
        .conf(&format!("session_preload_libraries = '{libraries}'"))
        .conf("log_min_messages = warning")
        .conf("log_min_error_statement = warning")
        .start()
}

#[test]
fn each_rule_in_each_mode() {
    let cluster = guarded("scram_ext");
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE ROLE alice; SET scram.min_iterations = 1",
        )
        .expect("a role");
    let mut cases: Vec<(&str, String)> = CASES
        .iter()
        .map(|(rule, sql)| (*rule, cell(&mut client, &format!("SELECT {sql}")).expect("a text")))
        .collect();
    cases.push(("password_empty", EMPTY.to_owned()));
    cases.push(("", GOOD.to_owned()));
    let good = cell(&mut client, &format!("SELECT scram.generate('{GOOD}')")).expect("a verifier");
    cases.push(("", good));
    cluster.psql_script(
        "DROP ROLE alice; ALTER SYSTEM SET scram.max_iterations = 100000;
         ALTER SYSTEM SET scram.guard_time = '1 s'; SELECT pg_reload_conf()",
    );

    for (rule, password) in &cases {
        for create in [true, false] {
            let statement = if create { "CREATE ROLE alice" } else { "ALTER ROLE alice" };
            let statement = format!("{statement} PASSWORD '{password}'");
            for mode in ["off", "warn", "enforce"] {
                let make = if create { "SELECT 1" } else { "CREATE ROLE alice" };
                // The server's own warning about MD5, after the hook, writes the statement to the log.
                let quiet = match versions::major() >= 18 {
                    true => "SET md5_password_warnings = off",
                    false => "SELECT 1",
                };
                let guard = format!("SET scram.guard = {mode}");
                let said = psql(&cluster, &[make, quiet, &guard, &statement]);
                let change = if create { "true" } else { "rolpassword IS NOT NULL" };
                let made =
                    format!("SELECT count(*) FROM pg_authid WHERE rolname = 'alice' AND {change}");
                let made = cell(&mut client, &made) == text("1");
                client.batch_execute("DROP ROLE IF EXISTS alice").expect("no role");
                let what = format!("{rule}, {statement}, {mode}: {said}");
                let is_refused = mode == "enforce" && !rule.is_empty();
                // The server itself clears an empty password.
                let is_cleared = !create && *rule == "password_empty";
                assert_eq!(made, !is_refused && !is_cleared, "{what}");
                assert_eq!(
                    said.contains("ERROR:  22023: password of role \"alice\""),
                    is_refused,
                    "{what}"
                );
                let is_warned = mode == "warn" && !rule.is_empty();
                let warning =
                    format!("WARNING:  01000: password of role \"alice\" breaks rule {rule}");
                assert_eq!(said.contains(&warning), is_warned, "{what}");
                if is_refused {
                    assert!(said.contains(&format!("{rule}: ")), "{what}");
                }
                assert!(SECRETS.iter().all(|secret| !said.contains(secret)), "{what}");
            }
        }
    }
    let log = cluster.log();
    assert!(log.contains("breaks rule"), "the log has the warnings");
    for secret in SECRETS.iter().copied().chain(cases.iter().map(|(_, password)| &**password)) {
        assert!(secret.is_empty() || !log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn the_functions_that_set_passwords_are_judged() {
    let cluster = guarded("scram_ext");
    let mut client = cluster.client();
    client
        .batch_execute("CREATE EXTENSION scram_ext; CREATE ROLE alice; SET scram.guard = enforce")
        .expect("a role");
    for (call, rule) in [
        ("set_role_password('alice', 'alice123')", "password_is_name"),
        ("set_role_password('alice', 'football')", "password_in_wordlist"),
        ("set_role_verifier('alice', scram.generate('football'))", "password_in_wordlist"),
    ] {
        let raised = Raised::by(&mut client, &format!("SELECT scram.{call}"));
        assert_eq!(raised.code, "22023", "{call}");
        assert!(raised.detail.as_ref().is_some_and(|detail| detail.contains(rule)), "{raised:?}");
        assert!(raised.texts().all(|text| !text.contains("football")), "{raised:?}");
    }
    client
        .batch_execute("SELECT scram.rotate_role('alice'); SELECT scram.set_role_password('alice', 'kT4-uvw-9182-xyz')")
        .expect("good passwords");
    // The transaction goes on after a refused statement that a savepoint protects.
    client
        .batch_execute("BEGIN; CREATE ROLE bob PASSWORD 'kT4-uvw-9182-xyz'; SAVEPOINT one")
        .expect("a role");
    assert_eq!(Raised::by(&mut client, "CREATE USER carol PASSWORD 'carol'").code, "22023");
    client.batch_execute("ROLLBACK TO one; COMMIT").expect("the first role");
    assert_eq!(
        cell(&mut client, "SELECT count(*) FROM pg_roles WHERE rolname IN ('bob', 'carol')"),
        text("1")
    );
    // A statement without a password, and one that removes it, are not judged.
    client
        .batch_execute("ALTER ROLE bob CONNECTION LIMIT 3; ALTER ROLE bob PASSWORD NULL")
        .expect("no password");
}

#[test]
fn passwordcheck_before_and_after() {
    if !versions::has_library("passwordcheck") {
        println!("this server has no passwordcheck");
        return;
    }
    for libraries in ["passwordcheck, scram_ext", "scram_ext, passwordcheck"] {
        let cluster = guarded(libraries);
        let mut client = cluster.client();
        client.batch_execute("SET scram.guard = enforce; CREATE ROLE alice").expect("a role");
        for (password, message) in [
            ("aB3-aB3-", "password of role \"alice\" breaks the rules of scram.guard"),
            ("longlonglonglong", "password must contain both letters and nonletters"),
        ] {
            let raised =
                Raised::by(&mut client, &format!("ALTER ROLE alice PASSWORD '{password}'"));
            assert_eq!(raised.message, message, "{libraries}");
            // Code that runs outside of the guard shows the statement.
            let is_hidden = libraries.ends_with("scram_ext") || message.contains("scram.guard");
            assert_eq!(!cluster.log().contains(password), is_hidden, "{libraries}, {password}");
        }
        client.batch_execute(&format!("ALTER ROLE alice PASSWORD '{GOOD}'")).expect("good");
        // Off: passwordcheck alone decides.
        client
            .batch_execute("SET scram.guard = off; ALTER ROLE alice PASSWORD 'aB3-aB3-'")
            .expect("off");
        let raised = Raised::by(&mut client, "ALTER ROLE alice PASSWORD 'longlonglonglong'");
        assert_eq!(raised.message, "password must contain both letters and nonletters");
    }
}

/// Sessions for replication and background processes load no library of session_preload_libraries.
#[test]
fn replication_is_judged_where_the_server_loads_the_library() {
    for (setting, is_judged) in
        [("session_preload_libraries", false), ("shared_preload_libraries", true)]
    {
        let cluster = Cluster::builder()
            .conf(&format!("{setting} = 'scram_ext'"))
            .conf("scram.guard = enforce")
            .start();
        cluster.client().batch_execute("CREATE ROLE bob LOGIN SUPERUSER").expect("a role");
        let socket = cluster.dir().display().to_string();
        let change = |replication: &str| {
            let parameters = [
                ("host", &*socket),
                ("user", "bob"),
                ("dbname", "postgres"),
                ("replication", replication),
            ];
            let change = "ALTER ROLE bob PASSWORD 'bob123'";
            cluster.psql_connect(&parameters, None, change).status.success()
        };
        assert!(!change("false"), "{setting}");
        assert_eq!(change("database"), !is_judged, "{setting}");
    }
}

/// Autovacuum runs functions of an index as the owner of the table, who may have one change the owner's password.
#[test]
fn autovacuum_is_judged_where_the_server_loads_the_library() {
    for (setting, is_judged) in
        [("session_preload_libraries", false), ("shared_preload_libraries", true)]
    {
        let cluster = Cluster::builder()
            .conf(&format!("{setting} = 'scram_ext'"))
            .conf("scram.guard = enforce")
            .conf("autovacuum_naptime = 1s")
            .start();
        let mut admin = cluster.client();
        admin
            .batch_execute("CREATE ROLE bob LOGIN; CREATE SCHEMA bob AUTHORIZATION bob")
            .expect("a role");
        let mut bob = cluster.client_as("bob", "postgres");
        for statement in [
            "SET application_name = 'client'",
            "CREATE FUNCTION bob.change() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
                 IF current_setting('application_name') <> 'client' THEN
                     ALTER ROLE bob PASSWORD 'bob123';
                 END IF;
                 RETURN 1;
             END $$",
            "CREATE FUNCTION bob.f(x integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
             AS $$ BEGIN RETURN bob.change(); END $$",
            "CREATE TABLE bob.t (x integer)
             WITH (autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0)",
            "CREATE INDEX ON bob.t (bob.f(x))",
            "INSERT INTO bob.t SELECT generate_series(1, 100)",
        ] {
            bob.batch_execute(statement).expect(statement);
        }
        let stored = "SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'bob'";
        if is_judged {
            let refused = "breaks the rules of scram.guard";
            until("autovacuum is refused", || cluster.log().contains(refused).then_some(()));
            assert_eq!(cell(&mut admin, stored).as_deref(), Some("f"));
        } else {
            until("autovacuum has stored it", || (cell(&mut admin, stored)? == "t").then_some(()));
        }
    }
}

#[test]
fn a_plain_role_cannot_switch_it_off() {
    let cluster = Cluster::builder()
        .conf("session_preload_libraries = 'scram_ext'")
        .conf("scram.guard = enforce")
        .start();
    cluster.client().batch_execute("CREATE ROLE bob LOGIN").expect("a role");
    let change = "ALTER ROLE bob PASSWORD 'bob123'";
    let mut bob = cluster.client_as("bob", "postgres");
    for setting in [
        "scram.guard = off",
        "scram.guard_exempt = 'bob'",
        "scram.guard_min_length = 0",
        "scram.guard_time = 0",
    ] {
        assert_eq!(Raised::by(&mut bob, &format!("SET {setting}")).code, "42501", "{setting}");
        let lasting = format!("ALTER ROLE bob SET {setting}");
        assert_eq!(Raised::by(&mut bob, &lasting).code, "42501", "{setting}");
    }
    assert_eq!(Raised::by(&mut bob, change).code, "22023");
    let mut config = Config::new();
    config.host_path(cluster.dir()).port(cluster.port()).user("bob").dbname("postgres");
    config.options("-c scram.guard=off");
    let refused = config.connect(NoTls).err().expect("the session is refused");
    assert_eq!(Raised::from_error(&refused).code, "42501");
    // A role that was granted the setting may.
    cluster.client().batch_execute("GRANT SET ON PARAMETER scram.guard TO bob").expect("a grant");
    let mut granted = config.connect(NoTls).expect("a session");
    assert_eq!(cell(&mut granted, "SHOW scram.guard"), text("off"));
    // A superuser is not exempt, but may change the setting.
    let mut client = cluster.client();
    assert_eq!(Raised::by(&mut client, change).code, "22023");
    client.batch_execute("SET scram.guard = off").expect("the setting");
    client.batch_execute(change).expect("off");
}

#[test]
fn earlier_passwords() {
    let cluster = guarded("scram_ext");
    cluster.psql_script(
        "CREATE EXTENSION scram_ext; CREATE ROLE alice LOGIN; CREATE DATABASE without;
         ALTER SYSTEM SET scram.password_history = 3; ALTER SYSTEM SET scram.guard = enforce;
         SELECT pg_reload_conf()",
    );
    let mut client = cluster.client();
    let old = "scram.generate('first-6172-first')";
    let old = cell(&mut client, &format!("SELECT {old}")).expect("a verifier");
    client
        .batch_execute(&format!(
            "SELECT scram.set_role_verifier('alice', '{old}');
             SELECT scram.set_role_password('alice', 'second-6172-second')"
        ))
        .expect("two passwords");
    for password in ["first-6172-first", &old] {
        let change = format!("ALTER ROLE alice PASSWORD '{password}'");
        let raised = Raised::by(&mut client, &change);
        assert!(raised.detail.is_some_and(|detail| detail.starts_with("password_reused: ")));
    }
    // The present password does not come back.
    client.batch_execute("ALTER ROLE alice PASSWORD 'second-6172-second'").expect("the same");
    let log = cluster.log();
    assert!(log.contains("gave role \"alice\" one of its earlier passwords: refused"));
    assert!(!log.contains("6172"), "a password is in the log");

    // The table is read as its owner, so that no operator of the caller may run.
    client
        .batch_execute(
            "GRANT CREATE ON SCHEMA public TO alice; SET ROLE alice;
             CREATE FUNCTION public.trap(oid, oid) RETURNS boolean LANGUAGE plpgsql AS
                 $$ BEGIN RAISE 'trapped as %', current_user; END $$;
             CREATE OPERATOR public.= (FUNCTION = public.trap, LEFTARG = oid, RIGHTARG = oid);
             SET search_path = public, pg_catalog",
        )
        .expect("a trap");
    let raised = Raised::by(&mut client, "ALTER ROLE alice PASSWORD 'first-6172-first'");
    assert_eq!(raised.code, "22023", "{raised:?}");

    // Elsewhere there is no history to ask.
    let mut elsewhere = cluster.client_as("postgres", "without");
    elsewhere
        .batch_execute("ALTER ROLE alice PASSWORD 'first-6172-first'")
        .expect("not known here");
    assert_eq!(Raised::by(&mut elsewhere, "ALTER ROLE alice PASSWORD 'alice'").code, "22023");
}

#[test]
fn exempt_roles() {
    let cluster = guarded("scram_ext");
    let mut client = cluster.client();
    client
        .batch_execute("SET scram.guard = enforce; SET scram.guard_exempt = 'Bob, \"Carol C\"'")
        .expect("the settings");
    client
        .batch_execute("CREATE ROLE bob PASSWORD 'bob'; CREATE ROLE \"Carol C\" PASSWORD 'x'")
        .expect("exempt");
    assert_eq!(Raised::by(&mut client, "CREATE ROLE \"Bob\" PASSWORD 'x'").code, "22023");
    assert_eq!(Raised::by(&mut client, "SET scram.guard_exempt = 'a b'").code, "22023");
    client.batch_execute("SET scram.guard_exempt = ''").expect("no role");
    assert_eq!(Raised::by(&mut client, "ALTER ROLE bob PASSWORD 'bob'").code, "22023");
}

#[test]
fn the_time_is_bounded() {
    let cluster = guarded("scram_ext");
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext; CREATE ROLE alice").expect("a role");
    let verifier = "SELECT scram.generate('kT4-uvw-9182-xyz', 100000)";
    let verifier = cell(&mut client, verifier).expect("a verifier");
    let change = format!("ALTER ROLE alice PASSWORD '{verifier}'");
    client.batch_execute("SET scram.guard = enforce").expect("the setting");
    let start = Instant::now();
    client.batch_execute(&change).expect("nothing found");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    client
        .batch_execute("SET scram.guard_time = '1 min'; SET statement_timeout = '1 s'")
        .expect("settings");
    let start = Instant::now();
    assert_eq!(Raised::by(&mut client, &change).code, "57014");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    client.batch_execute("RESET statement_timeout; SET scram.guard_time = 0").expect("settings");
    // Names only.
    let word = cell(&mut client, "SELECT scram.generate('football')").expect("a verifier");
    client.batch_execute(&format!("ALTER ROLE alice PASSWORD '{word}'")).expect("not tried");
    let name = cell(&mut client, "SELECT scram.generate('alice')").expect("a verifier");
    let raised = Raised::by(&mut client, &format!("ALTER ROLE alice PASSWORD '{name}'"));
    assert!(raised.detail.is_some_and(|detail| detail.contains("password_is_name")));
}

#[test]
fn check_password_says_what_the_guard_would_say() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE alice").expect("a role");
    let broken = |client: &mut Client, password: &str| {
        let check = "SELECT rule FROM scram.check_password('alice', ";
        let rows = rows(client, &format!("{check}{password}) WHERE NOT ok"));
        rows.into_iter().flatten().flatten().collect::<Vec<_>>()
    };
    assert_eq!(broken(&mut client, "'ALICE2'"), ["password_short"]);
    // The word list has this name.
    let all = ["password_is_name", "password_in_wordlist", "password_short"];
    assert_eq!(broken(&mut client, "'alice'"), all);
    assert_eq!(broken(&mut client, "'kT4-uvw-9182-xyz'"), [""; 0]);
    assert_eq!(broken(&mut client, "scram.generate('football')"), ["password_in_wordlist"]);
    assert_eq!(broken(&mut client, "'md5' || md5('xalice')"), ["md5_hash"]);
    client.batch_execute("SET password_encryption = 'md5'").expect("the setting");
    assert_eq!(broken(&mut client, "'kT4-uvw-9182-xyz'"), ["md5_hash"]);
    // Characters are counted, not bytes: eleven here.
    assert_eq!(broken(&mut client, "'äöüäöüäöü-ß'"), ["md5_hash", "password_short"]);
    let unknown = "SELECT count(*) FROM scram.check_password('nobody', 'x')";
    assert_eq!(cell(&mut client, unknown), text("11"));
    let log = cluster.log();
    assert!(
        log.contains(
            "scram.check_password() checked a password of role \"alice\" for \"postgres\""
        )
    );
    assert!(!log.contains("kT4"));
    assert_eq!(
        Raised::by(&mut client, "SELECT scram.check_password('alice', repeat('x', 1048577))").code,
        "22023"
    );
}

/// The messages of psql for these statements, with the SQLSTATE of each message.
fn psql(cluster: &Cluster, statements: &[&str]) -> String {
    let mut arguments = vec!["-v", "VERBOSITY=verbose"];
    for statement in statements {
        arguments.extend(["-c", statement]);
    }
    let output = cluster.psql(&arguments);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `\password` sends a ready-made verifier. The server's own processes have the library here.
#[test]
fn a_verifier_that_psql_makes_is_judged() {
    let cluster = Cluster::builder()
        .conf("shared_preload_libraries = 'scram_ext'")
        .conf("scram.guard = enforce")
        .start();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE alice LOGIN").expect("a role");
    for (password, is_refused) in [("football", true), ("alice123", true), (GOOD, false)] {
        // Without a terminal, psql reads the password from its input, twice.
        let mut psql = Command::new("setsid")
            .args(["-w", &format!("{}/psql", versions::pg_config("--bindir"))])
            .args(["-Xq", "-U", "postgres", "-d", "postgres", "-c", "\\password alice", "-h"])
            .arg(cluster.dir())
            .args(["-p", &cluster.port().to_string()])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql");
        let mut input = psql.stdin.take().expect("its input");
        write!(input, "{password}\n{password}\n").expect("the password");
        drop(input);
        let said = psql.wait_with_output().expect("its end").stderr;
        let said = String::from_utf8_lossy(&said);
        let refusal = "password of role \"alice\" breaks the rules of scram.guard";
        assert_eq!(said.contains(refusal), is_refused, "{password}: {said}");
        let stored =
            "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'alice'";
        let stored = cell(&mut client, stored);
        assert_eq!(stored, if is_refused { None } else { text("t") }, "{password}: {said}");
    }
}
