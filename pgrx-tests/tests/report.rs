//! The report on a run, in its four forms: it must agree with the tables, for this run and older
//! ones, and no name in it may mislead its reader.

#[path = "report/page.rs"]
mod page;

use postgres::Client;
use scram_ext_client_tests::foreign::metrics;
use scram_ext_client_tests::{Cluster, cell, rows};

/// Names of roles, and how people are to see them.
const HOSTILE: [(&str, &str); 7] = [
    ("\"><script>document.title='x'</script>", "\"><script>document.title='x'</script>"),
    ("<img src=http://127.0.0.1:9/x onerror=1>", "<img src=http://127.0.0.1:9/x onerror=1>"),
    ("two\nCRITICAL (0)\n------------", "two\\nCRITICAL (0)\\n------------"),
    ("\u{1b}[2J\u{1b}[31mred\u{7}", "\\u{1b}[2J\\u{1b}[31mred\\u{7}"),
    ("abc\u{202e}exe.cod", "abc\\u{202e}exe.cod"),
    ("&amp; 'quoted' \\ %s", "&amp; 'quoted' \\\\ %s"),
    ("äöü漢字漢字漢字漢字漢字漢字漢字漢字漢字", "äöü漢字漢字漢字漢字漢字漢字漢字漢字漢字"),
];

#[test]
fn a_report_on_an_old_run_says_what_was_known_then() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let runs = seven_runs(&mut client);

    for (at, run) in runs.iter().enumerate() {
        let json = format!("scram.audit_report('json', {run})::jsonb");
        // The findings of the report equal those that the comparison of runs uses.
        let differing = format!(
            "SELECT count(*) FROM (
                SELECT f ->> 'source', f ->> 'subject', f ->> 'check_id', f ->> 'severity', f ->> 'evidence'
                FROM jsonb_array_elements({json} -> 'findings') f
             ) a FULL JOIN (SELECT source, subject, check_id, severity, evidence FROM scram_internal.findings_of({run})) b ON ROW(a.*) = ROW(b.*)
             WHERE a IS NULL OR b IS NULL"
        );
        assert_eq!(number(&mut client, &differing), 0, "findings of run {run}");
        if at == 0 {
            let changes = format!("SELECT {json} -> 'changes'");
            assert_eq!(cell(&mut client, &changes).as_deref(), Some("null"));
            continue;
        }
        let before = &runs[at - 1];
        for change in ["new", "changed", "fixed"] {
            let reported = format!("SELECT {json} -> 'changes' ->> '{change}'");
            let known = format!(
                "SELECT count(*) FROM scram.audit_diff({before}, {run}) WHERE change = '{change}'"
            );
            let known = number(&mut client, &known);
            assert_eq!(number(&mut client, &reported), known, "{change} in run {run}");
        }
    }

    // The history of the last run is the findings of each run before it, by severity as it was then.
    let last = runs.last().expect("a run");
    let history = format!(
        "SELECT count(*) FROM jsonb_array_elements(scram.audit_report('json', {last})::jsonb -> 'history') h,
         LATERAL (SELECT count(*) FILTER (WHERE severity = 'critical') AS critical, count(*) AS total
                  FROM scram_internal.findings_of((h ->> 'run_id')::bigint)) f
         WHERE (h ->> 'critical')::bigint = f.critical
           AND (h ->> 'critical')::bigint + (h ->> 'warning')::bigint + (h ->> 'notice')::bigint
               + (h ->> 'accepted')::bigint = f.total"
    );
    assert_eq!(number(&mut client, &history), 7);

    let text = report(&mut client, "text", last);
    assert!(text.contains("Since run 6 of "), "{text}");
    assert!(text.contains("carl: password_expired (warning)"), "what was fixed: {text}");
    let accepted = "password_never_expires (notice), for ever: rotated by a vault";
    assert!(text.contains(accepted), "{text}");
}

#[test]
fn a_run_that_did_not_end_leaves_what_stood() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("SET password_encryption = 'md5'; CREATE ROLE ann PASSWORD 'x'")
        .expect("ann");
    let run = cell(&mut client, "CALL scram.run_audit()").expect("a run");
    let open = "SELECT scram.audit_report('json')::jsonb -> 'summary'";
    let before = cell(&mut client, open);
    // No backend runs them.
    for stored in ["interrupted", "running"] {
        let status = "interrupted";
        let sql = format!(
            "INSERT INTO scram_internal.stored_run (started_at, status) VALUES (clock_timestamp(), '{stored}') RETURNING run_id"
        );
        let unfinished = cell(&mut client, &sql).expect("a run");
        assert_eq!(cell(&mut client, open), before, "{stored}");
        let text = cell(&mut client, "SELECT scram.audit_report()").expect("a report");
        assert!(text.contains(&format!("Run {unfinished}, {status}: ")), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("stands as the run before left it"), "{text}");
        assert!(text.contains("1 with md5"), "the last census: {text}");
        // An alert on the age of the last audit uses the last finished run.
        let samples = metrics(&report(&mut client, "prometheus", &unfinished));
        let value =
            |name: &str| samples.iter().find(|sample| sample.0 == name).map(|sample| sample.2);
        let finished = format!(
            "SELECT extract(epoch FROM finished_at)::float8 FROM scram.audit_run WHERE run_id = {run}"
        );
        let finished: f64 =
            cell(&mut client, &finished).expect("a time").parse().expect("a number");
        assert_eq!(value("scram_audit_last_finished_timestamp_seconds"), Some(finished));
        assert_eq!(value("scram_audit_last_success_timestamp_seconds"), Some(finished));
        assert!(value("scram_audit_last_run_timestamp_seconds") > Some(finished));
        assert!(value("scram_audit_age_seconds").is_some_and(|age| age >= 0.0));
        assert_eq!(value("scram_audit_run_finished_timestamp_seconds"), None);
    }
}

#[test]
fn the_census_counts_every_role_and_goes_with_its_run() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE plain PASSWORD 'x'; CREATE ROLE old;
             CREATE ROLE lax; CREATE ROLE strong;
             UPDATE pg_authid SET rolpassword = 'md5' || md5('x') WHERE rolname = 'old';
             UPDATE pg_authid SET rolpassword = replace(scram.generate('x', 5000), '$5000:', '$ 5000:')
             WHERE rolname = 'lax';
             UPDATE pg_authid SET rolpassword = scram.generate('x', 20000) WHERE rolname = 'strong'",
        )
        .expect("roles");
    let run = cell(&mut client, "CALL scram.run_audit()").expect("a run");
    let census = "SELECT kind, iterations, subjects FROM scram.audit_census
                  WHERE source = 'role' AND kind <> 'none' ORDER BY 1, 2";
    let text = |row: &[&str]| row.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let mut expected = vec![
        text(&["md5", "", "1"]),
        text(&["scram-lax", "5000", "1"]),
        text(&["scram-sha-256", "4096", "1"]),
        text(&["scram-sha-256", "20000", "1"]),
    ];
    expected[0][1] = None;
    assert_eq!(rows(&mut client, census), expected);
    let all = "SELECT sum(c.subjects) - r.subjects FROM scram.audit_census c JOIN scram.audit_run r USING (run_id)
               GROUP BY r.subjects";
    assert_eq!(number(&mut client, all), 0, "each role once");

    // A source's kinds stand beside the roles'.
    let add = format!(
        "INSERT INTO scram.audit_census VALUES ({run}, 'accounts', 'bcrypt', NULL, 4, 1000)"
    );
    client.batch_execute(&add).expect("a row");
    let text = report(&mut client, "text", &run);
    assert!(text.contains("\nIn accounts: 4 with bcrypt.\n"), "{text}");
    let samples = metrics(&report(&mut client, "prometheus", &run));
    let expected =
        r#"{"database": "postgres", "iterations": "", "kind": "bcrypt", "source": "accounts"}"#;
    assert!(
        samples.contains(&("scram_audit_subjects".to_owned(), expected.to_owned(), 4.0)),
        "{samples:#?}"
    );

    rows(&mut client, "CALL scram.run_audit()");
    rows(&mut client, "UPDATE scram.audit_run SET started_at = started_at - interval '30 days'");
    assert_eq!(number(&mut client, "SELECT scram.prune_audit('20 days')"), 2);
    let left = format!("SELECT count(*) FROM scram.audit_census WHERE run_id = {run}");
    assert_eq!(number(&mut client, &left), 0);
}

#[test]
fn no_name_forges_a_line_or_breaks_the_grammar() {
    let cluster = Cluster::builder().conf("cluster_name = '15/\"main\"'").start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    hostile_roles(&mut client);
    let run = cell(&mut client, "CALL scram.run_audit()").expect("a run");

    let text = report(&mut client, "text", &run);
    for line in text.lines() {
        assert!(line.chars().count() <= 76, "{line:?}");
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("CRITICAL")).count(), 1, "{text}");
    for (_, shown) in &HOSTILE[2..5] {
        assert!(text.contains(&format!("- \"{shown}\": stored as md5")), "{text}");
    }
    // In psql's aligned form too it stays in a terminal of 80 columns.
    let aligned = cluster.psql_script("SELECT scram.audit_report()");
    let wide = aligned.lines().filter(|line| !line.contains('漢')).map(|line| line.chars().count());
    assert!(wide.max().expect("lines") <= 80, "{aligned}");

    // The server's reader of JSON gives back the very names.
    let lost = "SELECT count(*) FROM pg_roles WHERE NOT rolname LIKE 'pg\\_%' AND rolname <> 'postgres' AND NOT rolname::text IN (
                    SELECT f ->> 'subject' FROM jsonb_array_elements(scram.audit_report('json')::jsonb -> 'findings') f)";
    assert_eq!(number(&mut client, lost), 0);

    let page = report(&mut client, "prometheus", &run);
    for (name, _) in HOSTILE {
        assert!(!page.contains(name), "{page}");
    }
    let samples = metrics(&page);
    let findings = "SELECT jsonb_build_object('check', check_id, 'cluster', '15/\"main\"', 'database', 'postgres',
                        'severity', severity, 'source', source, 'status', status)::text, count(*)
                    FROM scram.audit_finding GROUP BY check_id, severity, source, status ORDER BY 1";
    let known: Vec<_> = rows(&mut client, findings)
        .into_iter()
        .map(|row| {
            let mut row = row.into_iter().flatten();
            let labels = row.next().expect("labels");
            // jsonb sorts keys by length; the parser's output by name.
            let labels: std::collections::BTreeMap<String, String> =
                serde_json::from_str(&labels).expect("JSON");
            let count: f64 = row.next().expect("a count").parse().expect("a number");
            (labels, count)
        })
        .collect();
    let mut found: Vec<_> = samples
        .iter()
        .filter(|(name, ..)| name == "scram_audit_findings")
        .map(|(_, labels, value)| (serde_json::from_str(labels).expect("JSON"), *value))
        .collect();
    assert_eq!(found.len(), known.len());
    found.retain(|sample| !known.contains(sample));
    assert!(found.is_empty(), "{found:#?}");
}

/// The lines of pg_hba.conf that the report gives are rules for the same connections, with another method.
#[test]
fn rules_are_given_as_they_should_be() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let rules = "local all all trust\n\
                 host all \"all\" 10.0.0.0/8 trust\n\
                 host \"My DB\",postgres +pg_monitor,postgres ::1/128 trust\n\
                 host all a_role_with_a_long_name,another_role_with_a_long_name 127.0.0.1/32 trust\n\
                 host replication postgres samenet trust\n\
                 host sameuser all 0.0.0.0/0 scram-sha-256\n";
    cluster.reload_hba(&mut client, rules);
    let known = "SELECT type, database::text, user_name::text, address, netmask, auth_method = 'trust' AS is_trust
                 FROM pg_hba_file_rules WHERE auth_method = 'METHOD' AND error IS NULL ORDER BY line_number";
    let before = rows(&mut client, &known.replace("METHOD", "trust"));
    assert_eq!(before.len(), 5, "{before:?}");
    let run = cell(&mut client, "CALL scram.run_audit()").expect("a run");

    let text = report(&mut client, "text", &run);
    let mut lines = Vec::new();
    let mut is_rule = false;
    for line in text.lines() {
        if let Some((_, place)) = line.split_once("# pg_hba.conf:") {
            let number: usize =
                place.split_once(',').expect("a place").0.parse().expect("a number");
            lines.push((number, String::new()));
            is_rule = true;
        } else if is_rule && line.starts_with("    ") && !line.contains("SELECT pg_reload_conf()") {
            let rule = &mut lines.last_mut().expect("a place").1;
            rule.push_str(line);
            rule.push('\n');
        } else {
            is_rule = false;
        }
    }
    lines.sort();
    let mended: String = lines.into_iter().map(|(_, rule)| rule).collect();
    cluster.reload_hba(&mut client, &mended);
    let mut after = rows(&mut client, &known.replace("METHOD", "scram-sha-256"));
    for row in &mut after {
        row[5] = Some("t".to_owned());
    }
    assert_eq!(after, before, "{mended}");
}

#[test]
fn a_standby_tells_the_same() {
    let cluster = Cluster::builder().hba("local replication all trust").start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    let run = cell(&mut client, "CALL scram.run_audit()").expect("a run");
    let standby = cluster.standby();
    let there = report(&mut standby.client(), "text", &run);
    assert_eq!(there, report(&mut client, "text", &run));
}

/// The grants that docs/audit.md lists: three tables and the function, and nothing else.
#[test]
fn an_auditor_reads_the_report_with_four_grants() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE ROLE auditor LOGIN").expect("a role");
    let mut auditor = cluster.client_as("auditor", "postgres");
    rows(&mut admin, "CALL scram.run_audit()");
    let grants = [
        "EXECUTE ON FUNCTION scram.audit_report(text, bigint)",
        "SELECT ON scram.audit_run",
        "SELECT ON scram.audit_finding",
        "SELECT ON scram.audit_census",
    ];
    for grant in grants {
        let error = auditor.simple_query("SELECT scram.audit_report()").expect_err("not yet");
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "before {grant}");
        admin.batch_execute(&format!("GRANT {grant} TO auditor")).expect(grant);
    }
    // The auditor's own objects and search_path do not change the report.
    auditor
        .batch_execute(
            "CREATE TEMP TABLE audit_run (run_id text);
             SET search_path = pg_temp, scram, pg_catalog",
        )
        .expect("a trap");
    for format in ["text", "json", "html", "prometheus"] {
        assert!(!report(&mut auditor, format, "1").is_empty(), "{format}");
    }
}

/// Seven audits of changing roles; returns their numbers.
fn seven_runs(client: &mut Client) -> Vec<String> {
    let accept = "SELECT scram.accept_finding(finding_id, NULL, 'rotated by a vault')
                  FROM scram.audit_finding WHERE subject = 'bob' AND check_id = 'password_never_expires'";
    [
        "SET password_encryption = 'md5'; CREATE ROLE ann LOGIN PASSWORD 'x' VALID UNTIL '2020-01-01'",
        "INSERT INTO scram.audit_policy (check_id, action) VALUES ('password_never_expires', 'notice');
         CREATE ROLE bob LOGIN PASSWORD 'bob'",
        "ALTER ROLE ann VALID UNTIL '2021-01-01'",
        accept,
        "ALTER ROLE ann VALID UNTIL '2022-01-01'; SET password_encryption = 'scram-sha-256'; ALTER ROLE bob PASSWORD 'y'",
        "CREATE ROLE carl LOGIN PASSWORD 'carl' VALID UNTIL '2020-01-01'",
        "DROP ROLE carl; SET password_encryption = 'md5'; ALTER ROLE bob PASSWORD 'bob'",
    ]
    .map(|sql| {
        client.batch_execute(sql).expect(sql);
        cell(client, "CALL scram.run_audit()").expect("a run")
    })
    .into()
}

fn hostile_roles(client: &mut Client) {
    client.batch_execute("SET password_encryption = 'md5'").expect("md5");
    for (name, _) in HOSTILE {
        assert!(name.len() <= 63);
        let sql = format!("CREATE ROLE \"{}\" LOGIN PASSWORD 'x'", name.replace('"', "\"\""));
        client.batch_execute(&sql).expect(name);
    }
    // Reset it, because the setting would be a finding too.
    client.batch_execute("RESET password_encryption").expect("the default");
}

fn report(client: &mut Client, format: &str, run: &str) -> String {
    cell(client, &format!("SELECT scram.audit_report('{format}', {run})")).expect("a report")
}

fn number(client: &mut Client, sql: &str) -> i64 {
    cell(client, sql).expect("a number").parse().expect("a number")
}
