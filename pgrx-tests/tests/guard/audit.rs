//! The audit's finding on the guard.

use scram_ext_client_tests::versions::has_library;
use scram_ext_client_tests::{Cluster, cell, until};

#[test]
fn the_audit_says_that_the_guard_is_off_and_how_to_turn_it_on() {
    if !has_library("auto_explain") {
        println!("this server has no auto_explain");
        return;
    }
    let cluster = Cluster::builder().conf("session_preload_libraries = 'auto_explain'").start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    let found = "SELECT (SELECT concat_ws(' ', severity, subject, evidence) FROM scram.audit() WHERE check_id = 'guard_off')";
    assert_eq!(
        cell(&mut client, found).as_deref(),
        Some("notice scram.guard scram.guard is off; session_preload_libraries is auto_explain")
    );

    // The statements of the report, as they stand there.
    client.batch_execute("CALL scram.run_audit()").expect("a run");
    let page = cell(&mut client, "SELECT scram.audit_report('html')").expect("a page");
    for statement in [
        "LOAD 'scram_ext';",
        "ALTER SYSTEM SET scram.guard = 'warn';",
        "ALTER SYSTEM SET session_preload_libraries = 'auto_explain', 'scram_ext';",
        "SELECT pg_reload_conf();",
    ] {
        assert!(page.contains(statement), "{statement}");
        client.batch_execute(statement).expect(statement);
    }
    until("the server has read its configuration", || {
        cell(&mut cluster.client(), found).is_none().then_some(())
    });

    // Other names of the same library.
    let names = [
        ("auto_explain", true),
        ("$libdir/scram_ext", false),
        ("auto_explain", true),
        ("scram_ext.so", false),
    ];
    for (library, is_found) in names {
        let set = format!("ALTER SYSTEM SET session_preload_libraries = '{library}'");
        client.batch_execute(&set).expect(&set);
        client.batch_execute("SELECT pg_reload_conf()").expect("a reload");
        until(library, || (cell(&mut cluster.client(), found).is_some() == is_found).then_some(()));
    }
}

/// A session with another list of libraries reports the server's, as the files have it: the case of a name matters.
#[test]
fn the_servers_libraries_keep_their_case() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for statement in [
        "CREATE EXTENSION scram_ext",
        "ALTER SYSTEM SET session_preload_libraries = 'auto_explain', '$libdir/Passwordcheck'",
        "SET session_preload_libraries = 'scram_ext'",
    ] {
        client.batch_execute(statement).expect(statement);
    }
    let found = "SELECT evidence FROM scram.audit() WHERE check_id = 'guard_off'";
    let expected =
        "scram.guard is off; session_preload_libraries is auto_explain, \"$libdir/Passwordcheck\"";
    assert_eq!(cell(&mut client, found).as_deref(), Some(expected));
    client.batch_execute("CALL scram.run_audit()").expect("a run");
    let report = cell(&mut client, "SELECT scram.audit_report('html')").expect("a page");
    let remedy = "ALTER SYSTEM SET session_preload_libraries = 'auto_explain', '$libdir/Passwordcheck', 'scram_ext';";
    assert!(report.contains(remedy), "{report}");
}
