//! Calls every function as roles with and without the grants.

use scram_ext_client_tests::{Cluster, Raised, cell, rows};

/// Calls that PUBLIC may make, because their results say nothing about roles.
const PUBLIC: &[&str] = &[
    "SELECT scram.verify('pencil', scram.generate('pencil'))",
    "SELECT (scram.parse(scram.generate('pencil'))).iterations",
    "SELECT scram.is_verifier('x')",
    "SELECT scram.identify('x')",
    "SELECT scram.match_any(scram.generate('pencil'), '{pencil}')",
    "SELECT scram.needs_rotation(scram.generate('pencil'))",
    "SELECT scram.search_backend()",
    "SELECT count(*) FROM scram.handshake('pencil', scram.generate('pencil'))",
    "SELECT count(*) FROM scram.audit_checks()",
    "CREATE TEMP TABLE kept (secret scram.verifier)",
];

/// Calls that need a grant.
const GRANTED_ONLY: &[&str] = &[
    "SELECT * FROM scram.handshake_start('n,,n=u,r=a', NULL)",
    "SELECT * FROM scram.handshake_finish('\\x00', 'x', NULL)",
    "SELECT * FROM scram.handshake_finish_passthrough('\\x00', 'x', NULL)",
    "SELECT * FROM scram.role_handshake_finish_passthrough('\\x00', 'x')",
    "SELECT * FROM scram.pooler_users()",
    "SELECT * FROM scram.audit()",
    "CALL scram.run_audit()",
    // PUBLIC may execute the run's internal steps, but they check the right to run the audit
    // themselves.
    "SELECT scram_internal.begin_run(NULL)",
    "SELECT scram_internal.step(1)",
    "SELECT scram_internal.finish_run(1)",
    "SELECT * FROM scram_internal.scan_source('role', false, NULL)",
    "SELECT * FROM scram_internal.scan_slice('x', NULL, NULL, NULL, 0)",
    "SELECT * FROM scram_internal.names('x', 1, 0, '{1}')",
    "SELECT * FROM scram_internal.source_findings('x', true, NULL)",
    "SELECT * FROM scram_internal.guess_findings('x')",
    "SELECT * FROM scram_internal.guess('role', NULL, NULL, '{1}', true, '{0}', 1)",
    "SELECT * FROM scram.audit_source_rows('role', 'md5_hash')",
    "SELECT scram.add_audit_source('x', 'pg_class', 'relname', 'relname')",
    "SELECT scram.drop_audit_source('x')",
    "SELECT scram.load_wordlist()",
    "TABLE scram_internal.stored_secret",
    "TABLE scram_internal.role_secret",
    "TABLE scram_internal.guess_hit",
    "TABLE scram_internal.slice_finding",
    "TABLE scram.audit_source",
    "TABLE scram_internal.candidate",
    "TABLE scram.wordlist",
    "SELECT * FROM scram.role_handshake_start('n,,n=,r=a', 'postgres')",
    "SELECT * FROM scram.role_handshake_finish('\\x00', 'x')",
    "SELECT scram.verify_role('postgres', 'x')",
    "SELECT * FROM scram.check_password('postgres', 'x')",
    "SELECT * FROM scram.explain_login('postgres')",
    "SELECT * FROM scram.set_role_password('postgres', 'x')",
    "SELECT * FROM scram.set_role_verifier('postgres', 'x')",
    "SELECT scram.rotate_role('plain')",
    "SELECT scram.create_rotation('x', 'plain', 'plain', 'postgres')",
    "SELECT * FROM scram.rotate('x')",
    "SELECT * FROM scram.finish_rotation('x')",
    "SELECT scram.drop_rotation('x')",
    "SELECT scram_internal.prune_password_history()",
    "TABLE scram_internal.password_history",
    "TABLE scram.rotation",
    "INSERT INTO scram.rotation VALUES ('x', 'x', 'x', 'y')",
    "SELECT nextval('scram_internal.password_history_entry_seq')",
    "SET scram.password_history = 0",
    "SELECT scram.schedule_audit()",
    "SELECT scram.unschedule_audit()",
    "SELECT scram.audit_report()",
    "SELECT scram_internal.take_inventory(1)",
    "TABLE scram.audit_census",
    "TABLE scram.audit_run",
    "TABLE scram.audit_finding",
    "DELETE FROM scram.audit_run",
    "SET scram.default_iterations = 5000",
    "SET scram.min_iterations = 1",
    "SET scram.max_iterations = 2147483647",
    "SET scram.salt_length = 1",
    "SET scram.handshake_timeout = '1h'",
];

#[test]
fn a_plain_role_may_use_verifiers_and_nothing_else() {
    let cluster = Cluster::with_extension();
    cluster.client().batch_execute("CREATE ROLE plain LOGIN").expect("a role");
    let mut plain = cluster.client_as("plain", "postgres");
    for sql in PUBLIC {
        plain.simple_query(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    for sql in GRANTED_ONLY {
        let raised = Raised::by(&mut plain, sql);
        assert_eq!(raised.code, "42501", "{sql}: {raised:?}");
    }
}

#[test]
fn an_auditor_needs_three_grants_and_no_right_on_pg_authid() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE auditor LOGIN;
             CREATE SCHEMA evil AUTHORIZATION auditor;
             GRANT EXECUTE ON FUNCTION scram.audit() TO auditor;
             GRANT EXECUTE ON PROCEDURE scram.run_audit(interval, bigint) TO auditor;
             GRANT SELECT ON scram.audit_run, scram.audit_finding TO auditor;
             SET password_encryption = 'md5';
             CREATE ROLE old LOGIN PASSWORD 'secret'",
        )
        .expect("roles");

    let mut auditor = cluster.client_as("auditor", "postgres");
    // The auditor's own objects and operators must not run with the owner's rights.
    auditor
        .batch_execute(
            "CREATE TEMP TABLE pg_authid AS SELECT 'x'::name AS rolname, NULL::text AS rolpassword;
             CREATE FUNCTION evil.hijack(name, name) RETURNS boolean LANGUAGE plpgsql AS
                 'BEGIN RAISE EXCEPTION ''hijacked as %'', current_user; END';
             CREATE FUNCTION evil.hijack(text, text) RETURNS boolean LANGUAGE plpgsql AS
                 'BEGIN RAISE EXCEPTION ''hijacked as %'', current_user; END';
             CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.hijack);
             CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.hijack);
             CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS
                 'BEGIN RAISE EXCEPTION ''hijacked as %'', current_user; END';
             CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS
                 'BEGIN RAISE EXCEPTION ''hijacked as %'', current_user; END';
             SET search_path = evil, pg_catalog",
        )
        .expect("traps");

    assert_eq!(Raised::by(&mut auditor, "TABLE pg_catalog.pg_authid").code, "42501");
    let md5 = "WHERE source = 'role' AND subject = 'old' AND check_id = 'md5_hash'";
    // Ours are the traps' first victims: these two queries look up names where they should.
    let md5 = md5.replace(" = ", " OPERATOR(pg_catalog.=) ");
    let found = cell(&mut auditor, &format!("SELECT count(*) FROM scram.audit() {md5}"));
    assert_eq!(found.as_deref(), Some("1"));
    let run = cell(&mut auditor, "CALL scram.run_audit()").expect("a run");
    let stored = format!("SELECT check_id, status FROM scram.audit_finding {md5}");
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(rows(&mut auditor, &stored), [[text("md5_hash"), text("open")]], "run {run}");
    for sql in ["DELETE FROM scram.audit_run", "UPDATE scram.audit_finding SET status = 'fixed'"] {
        assert_eq!(Raised::by(&mut auditor, sql).code, "42501", "{sql}");
    }
}
