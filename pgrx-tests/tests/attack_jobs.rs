//! Attacks on the scheduled audit: a superuser's job must not call another role's code, and a job is
//! removed by its owner.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows, text};

fn with_cron() -> (Cluster, Client) {
    let cluster = Cluster::builder()
        .conf("shared_preload_libraries = 'pg_cron'")
        .conf("cron.database_name = 'postgres'")
        .start();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE EXTENSION pg_cron;
             CREATE ROLE bob LOGIN; CREATE ROLE auditor LOGIN",
        )
        .expect("extensions");
    admin.batch_execute("CREATE DATABASE shop OWNER bob").expect("bob's database");
    (cluster, admin)
}

/// The owner of a database puts a procedure of the same name where the job looks for the audit.
#[test]
fn no_job_runs_as_a_superuser_in_another_roles_database() {
    let (cluster, mut admin) = with_cron();
    for sql in [
        "SELECT scram.schedule_audit(database => 'shop')",
        "SELECT scram.schedule_audit(database => 'shop', username => 'postgres')",
    ] {
        let raised = Raised::by(&mut admin, sql);
        assert_eq!(raised.code, "42501", "{sql}: {raised:?}");
        assert_eq!(raised.detail.as_deref(), Some("Role \"bob\" owns the database."));
        assert!(raised.hint.expect("a way out").contains("\"username\""));
    }
    let user = |client: &mut Client| {
        rows(client, "SELECT jobname, database, username FROM cron.job ORDER BY jobid")
    };
    assert_eq!(user(&mut admin), Vec::<Vec<Option<String>>>::new());
    cell(&mut admin, "SELECT scram.schedule_audit(database => 'shop', username => 'auditor')");
    let expected = [["scram-audit", "shop", "auditor"].map(text).to_vec()];
    assert_eq!(user(&mut admin), expected);

    // In the database itself the hint must not name a job of the superuser's either.
    let mut shop = cluster.client_as("postgres", "shop");
    shop.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    assert_eq!(Raised::by(&mut shop, "SELECT scram.schedule_audit()").code, "42501");
    let hint = Raised::by(&mut shop, "SELECT scram.schedule_audit(username => 'auditor')");
    assert_eq!(hint.code, "55000", "{hint:?}");
    let hint = hint.hint.expect("a command");
    let (_, command) = hint.split_once("There: ").expect("a command");
    cell(&mut admin, command).expect("a job");
    assert_eq!(user(&mut admin), expected);
}

#[test]
fn no_job_runs_as_a_superuser_where_others_may_make_its_schema() {
    let (_cluster, mut admin) = with_cron();
    for (prepare, database, detail, mend) in [
        (
            "CREATE DATABASE open; GRANT CREATE ON DATABASE open TO bob",
            "open",
            "Role \"bob\" may create schemas in the database.",
            "REVOKE CREATE ON DATABASE open FROM bob",
        ),
        (
            "GRANT CREATE ON DATABASE open TO PUBLIC",
            "open",
            "Every role may create schemas in the database.",
            "REVOKE CREATE ON DATABASE open FROM PUBLIC",
        ),
        (
            "GRANT CREATE ON SCHEMA scram TO bob",
            "postgres",
            "Role \"bob\" may create functions in the schema scram.",
            "REVOKE CREATE ON SCHEMA scram FROM bob",
        ),
        (
            "ALTER SCHEMA scram OWNER TO bob",
            "postgres",
            "Role \"bob\" owns the schema scram.",
            "ALTER SCHEMA scram OWNER TO postgres",
        ),
    ] {
        for statement in prepare.split("; ") {
            admin.batch_execute(statement).expect(statement);
        }
        let schedule = format!("SELECT scram.schedule_audit(database => '{database}') IS NOT NULL");
        let raised = Raised::by(&mut admin, &schedule);
        assert_eq!(raised.code, "42501", "{prepare}: {raised:?}");

        assert_eq!(raised.detail.as_deref(), Some(detail), "{prepare}");
        admin.batch_execute(mend).expect(mend);
        assert_eq!(cell(&mut admin, &schedule).as_deref(), Some("t"), "{mend}");
    }
}

#[test]
fn a_job_is_removed_by_its_owner_or_a_superuser() {
    let (cluster, mut admin) = with_cron();
    admin
        .batch_execute(
            "GRANT USAGE ON SCHEMA cron TO auditor;
             GRANT EXECUTE ON FUNCTION scram.schedule_audit(text, text, name, name),
                 scram.unschedule_audit(text) TO auditor",
        )
        .expect("grants");
    let mut auditor = cluster.client_as("auditor", "postgres");
    let unschedule = "SELECT scram.unschedule_audit('nightly')";
    cell(&mut admin, "SELECT scram.schedule_audit(job_name => 'nightly')").expect("a job");
    let raised = Raised::by(&mut auditor, unschedule);
    assert_eq!(raised.code, "42501", "{raised:?}");
    assert!(raised.message.contains("\"nightly\"") && raised.message.contains("\"postgres\""));

    // Under the same name a job of each; a role removes its own.
    cell(&mut auditor, "SELECT scram.schedule_audit(job_name => 'nightly')").expect("a job");
    assert_eq!(cell(&mut auditor, unschedule).as_deref(), Some("t"));
    assert_eq!(
        cell(&mut admin, "SELECT string_agg(username, ' ') FROM cron.job").as_deref(),
        Some("postgres")
    );

    // A superuser can remove the audit job of any user, and no other job of that name.
    cell(&mut auditor, "SELECT scram.schedule_audit(job_name => 'nightly')").expect("a job");
    cell(&mut auditor, "SELECT cron.schedule('other', '1 2 3 4 5', 'SELECT 1')").expect("a job");
    assert_eq!(cell(&mut admin, "SELECT scram.unschedule_audit('other')").as_deref(), Some("f"));
    assert_eq!(cell(&mut admin, unschedule).as_deref(), Some("t"));
    assert_eq!(
        cell(&mut admin, "SELECT string_agg(jobname, ' ') FROM cron.job").as_deref(),
        Some("other")
    );
    assert_eq!(cell(&mut auditor, unschedule).as_deref(), Some("f"));

    // The function that tells a job's owner answers the callers of scram.unschedule_audit() alone.
    let mut bob = cluster.client_as("bob", "postgres");
    cell(&mut admin, "SELECT scram.schedule_audit(job_name => 'nightly')").expect("a job");
    let ask = "SELECT scram_internal.hidden_job_user('nightly')";
    assert_eq!(Raised::by(&mut bob, ask).code, "42501");
}
