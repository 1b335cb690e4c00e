//! A company's server, with the whole report on it and the history of fifteen runs as expected files.
//!
//! `UPDATE_EXPECTED=1` writes the files; read the difference.

use std::fs;

use postgres::Client;
use scram_ext_client_tests::{Cluster, cell, docs, fixtures, rows};

const RULES: &str = "local all postgres trust
local all all scram-sha-256
host all +staff 10.0.0.0/8 ldap ldapserver=ldap.example.com ldapprefix=uid=
host all all 10.0.0.0/8 scram-sha-256
host all all 192.168.0.0/16 md5
host all all 127.0.0.1/32 password
";

/// Times and counts that differ from day to day and from host to host.
const AS_OF: &str = "UPDATE scram.audit_run SET started_at = timestamptz '2026-11-20 03:17:04+00' + run_id * interval '1 day',
    finished_at = timestamptz '2026-11-20 03:17:09+00' + run_id * interval '1 day', candidates_tested = 10000;
UPDATE scram.audit_census SET subjects = 200 WHERE kind = 'none'";

#[test]
fn the_report_on_a_company() {
    let (_cluster, mut client) = company();
    run(&mut client);
    client.batch_execute(AS_OF).expect("times");
    let report = cell(&mut client, "SELECT scram.audit_report()").expect("a report");
    assert_expected("company_report.txt", &(report + "\n"));
    // The report shortens; this is everything.
    let findings = "SELECT concat_ws(E'\\t', source, check_id, severity, subject, evidence) FROM scram.audit_finding
                    ORDER BY source COLLATE \"C\", check_id COLLATE \"C\", subject COLLATE \"C\"";
    let findings: Vec<_> = rows(&mut client, findings).into_iter().flatten().flatten().collect();
    assert_expected("company_findings.tsv", &(findings.join("\n") + "\n"));
}

#[test]
fn fifteen_runs() {
    let (cluster, mut client) = company();
    let mut locker = cluster.client();
    let moved = "host all all 192.168.0.0 255.255.0.0 md5\n".to_owned()
        + &RULES.replace("host all all 192.168.0.0/16 md5\n", "");
    let mut history = String::new();
    let steps: [(&str, &str, Option<&str>); 15] = [
        ("the first run", "", None),
        (
            "a comment line in pg_hba.conf; findings are accepted",
            "SELECT scram.accept_findings('hba_trust', until => now() + interval '1 year', note => 'for maintenance');
             SELECT scram.accept_findings('md5_hash', 'legacy%', note => 'until the mainframe is gone')",
            Some("# rules of 2026\n"),
        ),
        ("a role is renamed", "ALTER ROLE node_1 RENAME TO node_one; ALTER ROLE contractor_2 RENAME TO partner", None),
        ("a rule is moved and written in another way", "", Some("MOVED")),
        ("the file is broken", "", Some("BROKEN")),
        ("the file is mended", "", Some("")),
        ("a source is at rest", "UPDATE scram.audit_source SET enabled = false WHERE name = 'forum'; DELETE FROM forum", None),
        ("a source is locked", "LOCK", None),
        ("it is unlocked", "UNLOCK", None),
        (
            "a policy hides findings and makes others worse",
            "INSERT INTO scram.audit_policy (check_id, subject, action) VALUES
                 ('iterations_reveal_role', NULL, 'off'), (NULL, 'puppet%', 'notice'), ('password_never_expires', 'member of owners', 'warning');
             GRANT owners TO consultant_1",
            None,
        ),
        ("the policy is gone", "DELETE FROM scram.audit_policy", None),
        ("a role becomes a superuser", "ALTER ROLE legacy_01 SUPERUSER", None),
        ("an acceptance runs out", "UPDATE scram.audit_finding SET accepted_until = now() WHERE check_id = 'hba_trust'", None),
        (
            "a role is dropped, and another one gets its name",
            "DROP ROLE contractor_1; CREATE ROLE contractor_1 LOGIN PASSWORD 'Xq8-new' VALID UNTIL '2024-03-01'",
            None,
        ),
        (
            "passwords are changed, and the source is read again",
            "ALTER ROLE shop PASSWORD 'Xq8-shop'; ALTER ROLE crm PASSWORD 'Xq8-crm';
             UPDATE scram.audit_source SET enabled = true WHERE name = 'forum'; DELETE FROM customer WHERE name IN ('test', 'demo')",
            None,
        ),
    ];
    for (number, (what, sql, file)) in steps.into_iter().enumerate() {
        match sql {
            "LOCK" => locker.batch_execute("BEGIN; LOCK device").expect("a lock"),
            "UNLOCK" => locker.batch_execute("COMMIT").expect("no lock"),
            sql => client.batch_execute(sql).expect(sql),
        }
        match file {
            None => {}
            Some("MOVED") => cluster.reload_hba(&mut client, &moved),
            Some("BROKEN") => {
                let broken = moved.clone() + "host all all db.example.com/32 md5\n";
                fs::write(cluster.dir().join("data/pg_hba.conf"), broken).expect("the file");
            }
            Some("") => cluster.reload_hba(&mut client, &moved),
            Some(comment) => cluster.reload_hba(&mut client, &(comment.to_owned() + RULES)),
        }
        // A session that is new knows that the file was loaded.
        let mut client = cluster.client();
        run(&mut client);
        history += &format!("run {}: {what}\n", number + 1);
        let counts = "SELECT format('  %s; %s new, %s fixed, %s open%s', status, findings_new, findings_fixed, findings_open, '; hidden: ' || hidden)
                      FROM scram.audit_run ORDER BY run_id DESC LIMIT 1";
        history += &cell(&mut client, counts).expect("a run");
        history.push('\n');
        if number > 0 {
            let diff = format!(
                "SELECT concat_ws(' | ', '  ' || change, source, subject, check_id, severity, evidence)
                 FROM scram.audit_diff({number}, {})",
                number + 1
            );
            for line in rows(&mut client, &diff).into_iter().flatten().flatten() {
                history += &line;
                history.push('\n');
            }
        }
    }
    history += "\naccepted, and open again\n";
    let noted = "SELECT concat_ws(' | ', '  ' || status, subject, check_id, 'runs ' || first_run || ' to ' || last_run, note)
                 FROM scram.audit_finding WHERE note IS NOT NULL ORDER BY check_id, subject COLLATE \"C\"";
    for line in rows(&mut client, noted).into_iter().flatten().flatten() {
        history += &line;
        history.push('\n');
    }
    assert_expected("company_history.txt", &history);
}

fn company() -> (Cluster, Client) {
    let cluster = Cluster::builder().conf("cluster_name = 'company'").start();
    cluster.psql_script(
        &[fixtures::ROLES, "CREATE EXTENSION scram_ext;\n", fixtures::COMPANY].concat(),
    );
    let mut client = cluster.client();
    let roles = "SELECT count(*) FROM pg_roles WHERE oid >= 16384";
    assert_eq!(cell(&mut client, roles).as_deref(), Some("322"));
    client
        .batch_execute("INSERT INTO scram.wordlist VALUES ('dragon'), ('football')")
        .expect("words");
    cluster.reload_hba(&mut client, RULES);
    let client = cluster.client();
    (cluster, client)
}

fn run(client: &mut Client) {
    client.batch_execute("CALL scram.run_audit()").expect("a run");
}

fn assert_expected(file: &str, found: &str) {
    let path = docs::root().join("pgrx-tests/expected").join(file);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(path, found).expect(file);
    } else {
        let expected = fs::read_to_string(path).expect(file);
        for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "{file}, line {}", line + 1);
        }
        assert_eq!(found.lines().count(), expected.lines().count(), "{file}");
    }
}
