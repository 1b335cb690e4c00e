//! The scheduled audit, with the real pg_cron. It starts jobs at full minutes only, so that this
//! test takes up to one.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows, until};

#[test]
fn pg_cron_runs_the_audit() {
    let cluster = Cluster::builder()
        .conf("shared_preload_libraries = 'pg_cron'")
        .conf("cron.database_name = 'postgres'")
        .conf("cron.use_background_workers = on")
        .start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    client.batch_execute("CREATE DATABASE other").expect("the database");
    let mut other = cluster.client_as("postgres", "other");
    other.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");

    // Preloaded, but not created.
    let raised = Raised::by(&mut client, "SELECT scram.schedule_audit()");
    assert_eq!(raised.code, "55000", "{raised:?}");
    assert!(raised.hint.unwrap_or_default().contains("CREATE EXTENSION pg_cron"));

    client.batch_execute("CREATE EXTENSION pg_cron").expect("pg_cron");
    // It lives in one database of the cluster: the others are told what to run there.
    let raised = Raised::by(&mut other, "SELECT scram.schedule_audit('5 4 * * *', 'nightly')");
    assert_eq!(raised.code, "55000", "{raised:?}");
    let hint = raised.hint.unwrap_or_default();
    for word in ["cron.schedule_in_database", "nightly", "5 4 * * *", "run_audit", "other"] {
        assert!(hint.contains(word), "no {word}: {hint}");
    }

    // The defaults, then the same name again: one job.
    let id = cell(&mut client, "SELECT scram.schedule_audit()").expect("an id");
    assert_eq!(jobs(&mut client), [format!("{id} scram-audit 17 3 * * * postgres")]);
    let id = cell(&mut client, "SELECT scram.schedule_audit('* * * * *')").expect("an id");
    assert_eq!(jobs(&mut client), [format!("{id} scram-audit * * * * * postgres")]);
    // One statement and nothing else, or it would run in a transaction block.
    let command = cell(&mut client, "SELECT command FROM cron.job").expect("a command");
    assert!(command.starts_with("CALL scram.run_audit("), "{command}");
    assert_eq!(command.trim_end_matches(';').matches(';').count(), 0, "{command}");

    let elsewhere = "SELECT scram.schedule_audit('* * * * *', 'there', 'other')";
    let there = cell(&mut client, elsewhere).expect("an id");
    assert_eq!(jobs(&mut client)[1], format!("{there} there * * * * * other"));

    for (database, session) in [("postgres", &mut client), ("other", &mut other)] {
        until(&format!("pg_cron has run the audit in {database}"), || {
            let done = "SELECT count(*) FROM scram.audit_run WHERE status = 'done'";
            (cell(session, done).as_deref() != Some("0")).then_some(())
        });
    }
    until("pg_cron has written down how it went", || {
        let ended = "SELECT status, count(*) FROM cron.job_run_details
                     WHERE status IN ('succeeded', 'failed') GROUP BY 1";
        let ended = rows(&mut client, ended);
        assert!(ended.iter().all(|row| row[0].as_deref() == Some("succeeded")), "{ended:?}");
        (!ended.is_empty()).then_some(())
    });

    for (name, was_there) in [("there", "t"), ("there", "f"), ("scram-audit", "t"), ("nobody", "f")]
    {
        let sql = format!("SELECT scram.unschedule_audit('{name}')");
        assert_eq!(cell(&mut client, &sql).as_deref(), Some(was_there), "{name}");
    }
    assert_eq!(jobs(&mut client), Vec::<String>::new());
    assert_eq!(cell(&mut client, "SELECT scram.unschedule_audit()").as_deref(), Some("f"));
}

fn jobs(client: &mut Client) -> Vec<String> {
    let sql =
        "SELECT concat_ws(' ', jobid, jobname, schedule, database) FROM cron.job ORDER BY jobid";
    rows(client, sql).into_iter().map(|row| row.into_iter().flatten().collect()).collect()
}
