//! The scheduled audit, with the real pg_cron. It starts jobs at full minutes only, so that each of
//! these tests takes up to one.

use std::fs;

use postgres::Client;
use scram_ext_client_tests::{Builder, Cluster, Raised, cell, docs, rows, until};

#[test]
fn pg_cron_runs_the_audit() {
    let cluster = with_cron().conf("cron.use_background_workers = on").start();
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
    // pg_cron is in one database of the cluster: the hint tells the others which command to run
    // there.
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
    // The command is a single statement, because several would run in a transaction block.
    let command = cell(&mut client, "SELECT command FROM cron.job").expect("a command");
    assert_eq!(command, "CALL scram.run_audit()");

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

#[test]
fn an_auditor_schedules_it_over_connections() {
    // The role needs no password, because pg_cron connects as the server's own operating-system
    // user.
    let mut cluster = with_cron().hba("local all auditor peer map=cron").start();
    // The map accepts every operating-system user, because the user that runs the tests varies.
    fs::write(cluster.dir().join("data/pg_ident.conf"), "cron /^.*$ auditor\n").expect("a map");
    let host = format!("ALTER SYSTEM SET cron.host = '{}'", cluster.dir().display());
    cluster.client().batch_execute(&host).expect("the socket");
    cluster.restart();
    an_auditor_schedules_it(&cluster);
}

#[test]
fn an_auditor_schedules_it_in_background_workers() {
    an_auditor_schedules_it(&with_cron().conf("cron.use_background_workers = on").start());
}

/// pg_cron judges a schedule when it stores the job. Neither a refused one nor a name that is taken costs a job.
#[test]
fn a_refused_job_leaves_the_old_one() {
    let cluster = with_cron().start();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE EXTENSION pg_cron;
             SELECT cron.schedule('vacuum', '1 2 3 4 5', 'VACUUM')",
        )
        .expect("extensions");
    client.batch_execute("CREATE DATABASE other").expect("a database");
    cell(&mut client, "SELECT scram.schedule_audit('1 2 3 4 5', database => 'other')").expect("id");
    let all = "SELECT jobid, jobname, schedule, command, database, username, active FROM cron.job";
    let before = rows(&mut client, all);
    assert_eq!(before.len(), 2);

    let mut last = String::new();
    for (arguments, code) in [
        ("'61 2 3 4 5'", "22023"),
        ("'every night'", "22023"),
        ("''", "22023"),
        ("'every night', database => 'other'", "22023"),
        ("username => 'nobody'", "42704"),
        ("database => 'nowhere'", "3D000"),
        ("job_name => 'vacuum'", "42710"),
    ] {
        let sql = format!("SELECT scram.schedule_audit({arguments})");
        let raised = Raised::by(&mut client, &sql);
        assert_eq!(raised.code, code, "{sql}: {raised:?}");
        assert_eq!(rows(&mut client, all), before, "{sql}");
        // The caller may go on after the error, within one transaction.
        let caught = format!(
            "DO $$ BEGIN PERFORM scram.schedule_audit({arguments}); EXCEPTION WHEN OTHERS THEN END $$"
        );
        client.batch_execute(&caught).expect(&caught);
        assert_eq!(rows(&mut client, all), before, "{caught}");
        last = raised.hint.unwrap_or_default();
    }
    assert!(last.contains("job_name"), "{last}");
    let wrong = Raised::by(&mut client, "SELECT scram.schedule_audit('every night')");
    assert!(wrong.hint.unwrap_or_default().contains("17 3 * * *"));

    // A job for something else is no audit to remove.
    assert_eq!(cell(&mut client, "SELECT scram.unschedule_audit('vacuum')").as_deref(), Some("f"));
    // An audit that was changed by hand is replaced and removed.
    client
        .batch_execute(
            "UPDATE cron.job SET command = 'CALL scram.run_audit(budget => ''1 h'')', active = false
             WHERE jobname = 'scram-audit'",
        )
        .expect("a change");
    cell(&mut client, "SELECT scram.schedule_audit()").expect("an id");
    let job = "SELECT concat_ws('|', command, database, active) FROM cron.job WHERE jobname = 'scram-audit'";
    assert_eq!(cell(&mut client, job).as_deref(), Some("CALL scram.run_audit()|postgres|t"));
    client
        .batch_execute(
            "UPDATE cron.job SET command = 'CALL scram.run_audit(budget => ''1 h'')'
             WHERE jobname = 'scram-audit'",
        )
        .expect("a change");
    assert_eq!(cell(&mut client, "SELECT scram.unschedule_audit()").as_deref(), Some("t"));
}

fn with_cron() -> Builder {
    Cluster::builder()
        .conf("shared_preload_libraries = 'pg_cron'")
        .conf("cron.database_name = 'postgres'")
}

/// A role that is no superuser, with the grants that docs/audit.md names, no more.
fn an_auditor_schedules_it(cluster: &Cluster) {
    let mut admin = cluster.client();
    admin
        .batch_execute("CREATE EXTENSION scram_ext; CREATE EXTENSION pg_cron")
        .expect("extensions");
    admin.batch_execute("CREATE DATABASE other").expect("a database");
    let mut other = cluster.client_as("postgres", "other");
    other.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    admin
        .batch_execute("CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL 'infinity'")
        .expect("a role");
    admin.batch_execute(&grants()).expect("the grants of docs/audit.md");
    let mut auditor = cluster.client_as("auditor", "postgres");

    // A name has one job at most: scheduling again changes the job.
    let schedule = "SELECT scram.schedule_audit('* * * * *', 'nightly')";
    let first = cell(&mut auditor, "SELECT scram.schedule_audit('1 2 3 4 5', 'nightly')");
    assert_eq!(cell(&mut auditor, schedule), first);
    let job = "SELECT concat_ws('|', jobname, schedule, command, database, username, active) FROM cron.job";
    let expected = "nightly|* * * * *|CALL scram.run_audit()|postgres|auditor|t";
    assert_eq!(cell(&mut auditor, job).as_deref(), Some(expected));
    // The command that the hint prints works for a role that may run it.
    let hint = Raised::by(&mut other, "SELECT scram.schedule_audit('* * * * *', 'o''ther')").hint;
    let hint = hint.expect("a hint");
    let (_, command) = hint.split_once("There: ").expect("a command");
    assert_eq!(Raised::by(&mut auditor, command).code, "42501");
    cell(&mut admin, command).expect("a job");

    let ended = "SELECT count(*) FROM cron.job_run_details d JOIN cron.job j USING (jobid)
                 WHERE j.database = '{}' AND d.status IN ('succeeded', 'failed')";
    for database in ["postgres", "other"] {
        until(&format!("pg_cron has run the audit in {database}"), || {
            let ended = cell(&mut admin, &ended.replace("{}", database));
            (ended.as_deref() != Some("0")).then_some(())
        });
    }
    assert_eq!(
        cell(&mut auditor, "SELECT scram.unschedule_audit('nightly')").as_deref(),
        Some("t")
    );
    assert_eq!(
        cell(&mut auditor, "SELECT scram.unschedule_audit('nightly')").as_deref(),
        Some("f")
    );
    assert_eq!(cell(&mut admin, "SELECT scram.unschedule_audit('o''ther')").as_deref(), Some("t"));
    until("no job is at work any more", || {
        let working =
            "SELECT count(*) FROM cron.job_run_details WHERE status NOT IN ('succeeded', 'failed')";
        (cell(&mut admin, working).as_deref() == Some("0")).then_some(())
    });

    // pg_cron has one row for each run, and the extension adds none.
    let details = "SELECT database, username, status, command, count(*) FROM cron.job_run_details
                   GROUP BY 1, 2, 3, 4 ORDER BY 1 DESC";
    let details = rows(&mut admin, details);
    let mut expected = Vec::new();
    for (session, database, user) in
        [(&mut auditor, "postgres", "auditor"), (&mut other, "other", "postgres")]
    {
        let runs = rows(session, "SELECT status, count(*) FROM scram.audit_run GROUP BY 1");
        let [Some(status), Some(count)] = &runs[0][..] else { panic!("{runs:?}") };
        assert_eq!((runs.len(), &**status), (1, "done"), "{runs:?}");
        let row = [database, user, "succeeded", "CALL scram.run_audit()", count];
        expected.push(row.map(|text| Some(text.to_owned())).to_vec());
    }
    assert_eq!(details, expected);
    let found = "SELECT subject FROM scram.audit_finding WHERE check_id = 'password_is_name'";
    assert_eq!(cell(&mut auditor, found).as_deref(), Some("ann"));

    the_auditor_does_the_rest(&mut auditor);
}

/// The grants' other uses, and their limits.
fn the_auditor_does_the_rest(auditor: &mut Client) {
    for (sql, expected) in [
        ("SELECT count(*) > 0 FROM scram.audit()", "t"),
        ("SELECT scram.load_wordlist()", "10000"),
        ("INSERT INTO scram.wordlist VALUES ('Zq8') RETURNING word", "Zq8"),
        ("SELECT count(*) FROM scram.audit_diff(1, 1)", "0"),
        ("SELECT scram.audit_report() LIKE '%password_is_name%'", "t"),
        ("SELECT scram.prune_audit('1 day')", "0"),
        (
            "SELECT scram.accept_finding(finding_id, NULL, 'known') IS NULL FROM scram.audit_finding
             WHERE check_id = 'password_is_name'",
            "f",
        ),
    ] {
        assert_eq!(cell(auditor, sql).as_deref(), Some(expected), "{sql}");
    }
    auditor
        .batch_execute(
            "CREATE TEMP TABLE mine (name text, secret text);
             DELETE FROM scram.wordlist; UPDATE scram.audit_source SET enabled = true",
        )
        .expect("a table of the auditor, and the lists");
    for (sql, code) in [
        ("SELECT rolpassword FROM pg_authid", "42501"),
        ("SELECT * FROM scram_internal.stored_secret", "42501"),
        ("SELECT * FROM scram_internal.candidate", "42501"),
        ("UPDATE scram.audit_run SET subjects = 0", "42501"),
        ("SELECT scram.add_audit_source('a', 'pg_authid', 'rolname', 'rolpassword')", "42809"),
        ("SET scram.max_iterations = 1", "42501"),
    ] {
        assert_eq!(Raised::by(auditor, sql).code, code, "{sql}");
    }
}

/// The statements of docs/audit.md for an auditor, exactly as that page has them.
fn grants() -> String {
    docs::block("docs/audit.md", "sql", "CREATE ROLE auditor LOGIN")
}

fn jobs(client: &mut Client) -> Vec<String> {
    let sql =
        "SELECT concat_ws(' ', jobid, jobname, schedule, database) FROM cron.job ORDER BY jobid";
    rows(client, sql).into_iter().map(|row| row.into_iter().flatten().collect()).collect()
}
