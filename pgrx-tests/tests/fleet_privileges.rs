//! Whose rights a refresh of the fleet has, and which connections it refuses to make.

use scram_ext_client_tests::fleet::{State, add_server, audited, audited_with, collector, refresh};
use scram_ext_client_tests::{Cluster, Raised, cell, text};

const GRANTS: &str = "
CREATE ROLE auditor LOGIN;
GRANT EXECUTE ON FUNCTION scram.fleet_refresh(), scram.fleet_report(text) TO auditor;
GRANT SELECT ON scram.fleet_server, scram.fleet_runs, scram.fleet_findings TO auditor;
";

#[test]
fn an_auditor_uses_its_own_mapping() {
    let a = audited();
    let collector = collector(&[&a]);
    let mut admin = collector.client();
    admin.batch_execute(GRANTS).expect("an auditor");
    let mut auditor = collector.client_as("auditor", "postgres");
    let mut refused = |sql: &str, error: &str| {
        admin.batch_execute(sql).expect(sql);
        let states = refresh(&mut auditor);
        states[0].fails_with(&[error]);
        assert!(!states[0].is_seen);
    };
    refused("", "permission denied for foreign server");
    refused("GRANT USAGE ON FOREIGN SERVER a TO auditor", "role \"auditor\" has no user mapping");
    refused(
        "CREATE USER MAPPING FOR auditor SERVER a OPTIONS (user 'fleet_auditor')",
        "password is required",
    );
    refused(
        "ALTER USER MAPPING FOR auditor SERVER a OPTIONS (password 'wrong')",
        "password authentication failed",
    );
    admin
        .batch_execute(
            "ALTER USER MAPPING FOR auditor SERVER a OPTIONS (SET password 'Xq8-fleet-auditor')",
        )
        .expect("the password");
    assert_eq!(refresh(&mut auditor), [State::seen("a")]);
    // Settings of the connection are left out; a superuser's own server has them.
    admin
        .batch_execute("ALTER SERVER a OPTIONS (ADD options '-c work_mem=none')")
        .expect("an option");
    assert_eq!(refresh(&mut auditor), [State::seen("a")]);
    refresh(&mut admin)[0].fails_with(&["work_mem"]);
    admin.batch_execute("ALTER SERVER a OPTIONS (DROP options)").expect("without it");
    let report = cell(&mut auditor, "SELECT scram.fleet_report()").expect("a report");
    assert!(report.contains("password_is_name"), "{report}");
    let raised = Raised::by(&mut auditor, "UPDATE scram.fleet_server SET error = NULL");
    assert_eq!(raised.code, "42501");
    assert!(!collector.log().contains("Xq8-fleet-auditor"), "a password in the log");
}

/// Without a password of its mapping, a role could log in somewhere as this server's operating-system user.
#[test]
fn a_server_that_asks_for_no_password_is_refused() {
    let open = audited_with(Cluster::builder().hba("host all all 127.0.0.1/32 trust"));
    let collector = collector(&[&open]);
    let mut admin = collector.client();
    // The mapping and the server are a superuser's.
    assert_eq!(refresh(&mut admin), [State::seen("a")]);

    // A superuser calls, but another role owns the server, and has chosen its host.
    let owner = "CREATE ROLE mallory; GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO mallory;
                 ALTER SERVER a OWNER TO mallory";
    admin.batch_execute(owner).expect("another owner");
    refresh(&mut admin)[0].fails_with(&["password is required"]);
    // A socket is not connected to: it could let in the operating-system user before the password is missed.
    for change in ["SET host '/tmp'", "SET host '@x'", "SET host '127.0.0.1,/tmp'", "DROP host"] {
        let alter = format!("ALTER SERVER a OPTIONS ({change})");
        admin.batch_execute(&alter).expect("a socket");
        refresh(&mut admin)[0].fails_with(&["host is required"]);
    }
    let back = "ALTER SERVER a OPTIONS (ADD host '127.0.0.1')";
    admin.batch_execute(back).expect("the host");
    admin
        .batch_execute("ALTER USER MAPPING FOR postgres SERVER a OPTIONS (DROP password)")
        .expect("no password");
    refresh(&mut admin)[0].fails_with(&["password is required"]);
    // A superuser may waive it.
    admin
        .batch_execute(
            "ALTER USER MAPPING FOR postgres SERVER a OPTIONS (password_required 'false')",
        )
        .expect("waived");
    assert_eq!(refresh(&mut admin), [State::seen("a")]);
}

#[test]
fn it_is_granted_to_no_role_and_refuses_other_callers_code() {
    let collector = collector(&[]);
    let mut admin = collector.client();
    admin.batch_execute("CREATE ROLE ann LOGIN").expect("a role");
    let mut ann = collector.client_as("ann", "postgres");
    for sql in [
        "SELECT scram.fleet_refresh()",
        "SELECT scram.fleet_report()",
        "SELECT FROM scram.fleet_server",
        "SELECT FROM scram.fleet_runs",
        "SELECT FROM scram.fleet_findings",
        "SELECT FROM scram.fleet_census",
        "SELECT FROM scram.fleet_shared",
        "SELECT FROM scram_internal.fleet_digest",
        "SELECT scram.fleet_digests()",
        "SELECT FROM scram_internal.fleet_finding",
        "SELECT scram_internal.store_fleet_answer('a', NULL, NULL, NULL)",
        "SELECT scram_internal.mark_fleet_copies()",
    ] {
        assert_eq!(Raised::by(&mut ann, sql).code, "42501", "{sql}");
    }
    admin
        .batch_execute(
            "CREATE FUNCTION wrapper() RETURNS void SECURITY DEFINER LANGUAGE sql AS 'SELECT scram.fleet_refresh()'",
        )
        .expect("a wrapper");
    let raised = Raised::by(&mut ann, "SELECT wrapper()");
    assert_eq!(raised.code, "42501", "{raised:?}");
    let read_only = "BEGIN READ ONLY; SELECT scram.fleet_refresh()";
    assert_eq!(Raised::by(&mut admin, read_only).code, "25006");
}

/// A role that keeps the list cannot make a server look healthy.
#[test]
fn a_new_server_has_no_state() {
    let collector = collector(&[]);
    let grants = "CREATE ROLE keeper LOGIN; GRANT USAGE ON SCHEMA scram TO keeper;
                  GRANT SELECT, INSERT (name), DELETE ON scram.fleet_server TO keeper";
    collector.client().batch_execute(grants).expect("a role");
    let mut keeper = collector.client_as("keeper", "postgres");
    let forged = "INSERT INTO scram.fleet_server (name, last_seen) VALUES ('x', now())";
    assert_eq!(Raised::by(&mut keeper, forged).code, "42501");
    let plain = "INSERT INTO scram.fleet_server (name) VALUES ('x')";
    keeper.batch_execute(plain).expect("a name");
    keeper.batch_execute("DELETE FROM scram.fleet_server WHERE name = 'x'").expect("it leaves");
    let mut admin = collector.client();
    admin
        .batch_execute("INSERT INTO scram.fleet_server (name, last_seen, system_identifier) VALUES ('x', now(), 1)")
        .expect("more columns");
    let state = "SELECT s::text FROM scram.fleet_server s";
    assert_eq!(cell(&mut admin, state), text("(x,,,,,,,,,,)"));
}

#[test]
fn servers_of_something_else() {
    let a = audited();
    let plain = Cluster::with_extension();
    let raised = Raised::by(&mut plain.client(), "SELECT scram.fleet_refresh()");
    assert_eq!(raised.code, "55000");
    assert!(
        raised.hint.as_deref().is_some_and(|hint| hint.contains("CREATE EXTENSION postgres_fdw")),
        "{raised:?}"
    );

    let collector = collector(&[&a]);
    let mut admin = collector.client();
    admin
        .batch_execute(
            "CREATE FOREIGN DATA WRAPPER other; CREATE SERVER other FOREIGN DATA WRAPPER other;
             INSERT INTO scram.fleet_server (name) VALUES ('other'), ('host=127.0.0.1 user=postgres')",
        )
        .expect("servers");
    // A server without the extension, and one where nothing is granted.
    let bare = Cluster::start();
    bare.client()
        .batch_execute("CREATE ROLE fleet_auditor LOGIN PASSWORD 'Xq8-fleet-auditor'")
        .expect("a role");
    add_server(&mut admin, "bare", bare.port());
    let closed = audited();
    closed
        .client()
        .batch_execute("REVOKE ALL ON scram.audit_finding FROM fleet_auditor")
        .expect("revoked");
    add_server(&mut admin, "closed", closed.port());
    let states = refresh(&mut admin);
    assert_eq!(states[0], State::seen("a"));
    let of = |name: &str| states.iter().find(|state| state.name == name).expect("a row");
    of("other").fails_with(&["is none of postgres_fdw"]);
    of("host=127.0.0.1 user=postgres").fails_with(&["does not exist"]);
    of("bare").fails_with(&["\"scram.audit_run\" does not exist"]);
    of("closed").fails_with(&["permission denied for table audit_finding"]);
    let kept = "SELECT count(*) FROM scram.fleet_server WHERE error IS NOT NULL";
    assert_eq!(cell(&mut admin, kept), text("4"));
}
