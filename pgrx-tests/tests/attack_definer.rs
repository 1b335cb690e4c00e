//! Attacks by a SECURITY DEFINER function that another role's session calls: it changes no password of
//! the session's user, and starts no audit with that user's rights.

use scram_ext_client_tests::{Cluster, Raised, cell};

#[test]
fn another_roles_function_does_not_act_for_its_caller() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE mallory LOGIN; CREATE ROLE alice LOGIN PASSWORD 'pencil';
             GRANT EXECUTE ON PROCEDURE scram.run_audit(interval, bigint) TO alice;
             CREATE SCHEMA m AUTHORIZATION mallory; GRANT USAGE ON SCHEMA m TO PUBLIC;
             SET ROLE mallory;
             CREATE FUNCTION m.useful(statement text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
             BEGIN EXECUTE statement; RETURN 'done'; END $$;
             RESET ROLE",
        )
        .expect("a function that is not what it seems");
    let mut alice = cluster.client_as("alice", "postgres");
    for statement in [
        "SELECT scram.change_own_password(''pencil'', ''owned'')",
        "SELECT scram_internal.begin_run(NULL)",
        "SELECT scram_internal.step(1)",
        "SELECT scram_internal.hidden_job_user(''scram-audit'')",
    ] {
        let raised = Raised::by(&mut alice, &format!("SELECT m.useful('{statement}')"));
        assert_eq!(raised.code, "42501", "{statement}: {raised:?}");
    }
    assert_eq!(cell(&mut admin, "SELECT count(*) FROM scram.audit_run").as_deref(), Some("0"));
    assert!(cluster.login("alice", b"pencil").is_ok());
    // Her own calls work, as before.
    cell(&mut alice, "CALL scram.run_audit()").expect("a run");
    alice
        .batch_execute("SELECT scram.change_own_password('pencil', 'chalk')")
        .expect("her own change");
}
