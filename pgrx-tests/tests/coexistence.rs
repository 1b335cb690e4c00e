//! Other extensions in the same server: all of those that it has are loaded together, then passwords are
//! set and rotated and an audit runs.
//!
//! `make coexistence` installs those that Debian has, and says so in the environment, so that one that is
//! missing is a failure then.

use scram_ext_client_tests::versions::{has_extension, has_library};
use scram_ext_client_tests::{Cluster, Raised, Run, cell, rows};

/// Libraries that are preloaded. The first five come with PostgreSQL.
const LIBRARIES: [&str; 11] = [
    "auth_delay",
    "auto_explain",
    "passwordcheck",
    "pg_stat_statements",
    "pg_prewarm",
    "credcheck",
    "pg_cron",
    "pg_hint_plan",
    "pgaudit",
    "set_user",
    "timescaledb",
];

/// Extensions that are created.
const EXTENSIONS: [&str; 11] = [
    "citext",
    "pg_stat_statements",
    "credcheck",
    "pg_cron",
    "pg_hint_plan",
    "pg_partman",
    "pgaudit",
    "postgis",
    "set_user",
    "timescaledb",
    "vector",
];

#[test]
fn all_are_loaded_together() {
    let libraries: Vec<_> = LIBRARIES.into_iter().filter(|name| has_library(name)).collect();
    let extensions: Vec<_> = EXTENSIONS.into_iter().filter(|name| has_extension(name)).collect();
    if let Ok(wanted) = std::env::var("COEXISTENCE") {
        let missing: Vec<_> =
            wanted.split_whitespace().filter(|name| !extensions.contains(name)).collect();
        assert!(missing.is_empty(), "not installed: {missing:?}");
    }
    println!("libraries: {}; extensions: {}", libraries.join(", "), extensions.join(", "));

    let cluster = Cluster::builder()
        .conf(&format!("shared_preload_libraries = '{}'", libraries.join(", ")))
        .conf("session_preload_libraries = 'scram_ext'")
        .conf("cron.database_name = 'postgres'")
        .conf("auto_explain.log_min_duration = 0")
        .conf("auto_explain.log_nested_statements = on")
        .conf("auth_delay.milliseconds = 10")
        .conf("pgaudit.log = 'all'")
        .conf("pg_stat_statements.track = 'all'")
        .start();
    let mut client = cluster.client();
    for name in &extensions {
        let create = format!("CREATE EXTENSION {name}");
        client.batch_execute(&create).unwrap_or_else(|error| panic!("{create}: {error:?}"));
    }
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");

    client
        .batch_execute(
            "CREATE ROLE alice LOGIN; CREATE ROLE app; CREATE ROLE app_a LOGIN; CREATE ROLE app_b LOGIN;
             GRANT app TO app_a, app_b",
        )
        .expect("roles");
    if extensions.contains(&"credcheck") {
        // With its default settings it takes plain text only. The extension hands the server verifiers.
        let raised = Raised::by(&mut client, "SELECT scram.rotate_role('alice')");
        assert_eq!(raised.code, "28000", "{raised:?}");
        let hint = raised.hint.unwrap_or_default();
        assert!(hint.contains("credcheck.encrypted_password_allowed"), "{hint}");
        client.batch_execute("SET credcheck.encrypted_password_allowed = on").expect("a setting");
    }

    let rotated = cell(&mut client, "SELECT scram.rotate_role('alice')").expect("a password");
    cluster.login("alice", rotated.as_bytes()).expect("a login");
    assert!(cluster.login("alice", b"wrong").is_err());
    let set = "SELECT action FROM scram.set_role_password('alice', 'Xq8-a-long-password')";
    assert_eq!(cell(&mut client, set).as_deref(), Some("set"));
    cluster.login("alice", b"Xq8-a-long-password").expect("a login");

    cell(&mut client, "SELECT scram.create_rotation('pair', 'app', 'app_a', 'app_b')");
    let pair = rows(&mut client, "SELECT role, password FROM scram.rotate('pair')").remove(0);
    let [Some(role), Some(password)] = &pair[..] else { panic!("{pair:?}") };
    cluster.login(role, password.as_bytes()).expect("a login");

    let run = Run::call(&mut client);
    assert_eq!(run.status, "done", "{run:?}");
    if extensions.contains(&"pg_cron") {
        cell(&mut client, "SELECT scram.schedule_audit()").expect("a job");
        assert_eq!(cell(&mut client, "SELECT scram.unschedule_audit()").as_deref(), Some("t"));
    }

    // A generated password leaves the server in the result alone.
    let log = cluster.log();
    assert!(!log.contains(&rotated) && !log.contains(password), "a password is in the log");
    let statements =
        "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%' || $$PW$$ || '%'";
    assert_eq!(cell(&mut client, &statements.replace("PW", &rotated)).as_deref(), Some("0"));
    client.batch_execute("DROP EXTENSION scram_ext").expect("removed");
}

/// credcheck calls no module that was loaded before it, so that the guard has to be loaded behind it.
#[test]
fn the_guard_works_behind_credcheck_alone() {
    if !has_library("credcheck") {
        println!("this server has no credcheck");
        return;
    }
    for (shared, session, is_judged) in [
        ("credcheck, scram_ext", "", true),
        ("credcheck", "scram_ext", true),
        ("scram_ext, credcheck", "", false),
    ] {
        let cluster = Cluster::builder()
            .conf(&format!("shared_preload_libraries = '{shared}'"))
            .conf(&format!("session_preload_libraries = '{session}'"))
            .conf("credcheck.password_min_digit = 1")
            .conf("credcheck.encrypted_password_allowed = on")
            .conf("scram.guard = enforce")
            .start();
        let mut client = cluster.client();
        client
            .batch_execute("CREATE EXTENSION scram_ext; CREATE ROLE alice LOGIN")
            .expect("a role");
        let context = format!("{shared}; {session}");
        let weak = cell(&mut client, "SELECT scram.generate('football')").expect("a verifier");
        for password in ["aB3-aB3-", &weak] {
            let alter = format!("ALTER ROLE alice PASSWORD '{password}'");
            if is_judged {
                let raised = Raised::by(&mut client, &alter);
                assert!(raised.message.contains("scram.guard"), "{context}: {raised:?}");
                assert!(!cluster.log().contains(password), "{context}");
            } else {
                client.batch_execute(&alter).expect("not judged by the guard");
            }
        }
        let raised = Raised::by(&mut client, "ALTER ROLE alice PASSWORD 'longlonglonglong'");
        assert!(!raised.message.contains("scram.guard"), "{context}: {raised:?}");
        let set = "SELECT action FROM scram.set_role_password('alice', 'kT4-uvw-9182-xyz')";
        assert_eq!(cell(&mut client, set).as_deref(), Some("set"), "{context}");
        client.batch_execute("ALTER ROLE alice PASSWORD 'kT5-uvw-9182-xyz'").expect("good");
        cluster.login("alice", b"kT5-uvw-9182-xyz").expect("a login");
    }
}
