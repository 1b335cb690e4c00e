//! Reports for people stay short, however much there is to report, and their commands can be pasted.

use audit_report::{
    Cell, Change, Cluster, Counts, Finding, FixedFinding, Format, HistoryEntry, Report, Run,
    Status, Timestamp, WIDTH,
};
use password_audit::{CHECKS, Severity};

#[test]
fn ten_thousand_bad_roles() {
    let report = report(many(4, 10_000));
    let text = Format::Text.render(&report);
    assert!(text.lines().count() < 200, "{} lines", text.lines().count());
    // The worst first, the others counted, with the statement that lists them.
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, first) = words.split_once("password_empty (10,000)").expect("the first check");
    let (first, _) = first.split_once("password_is_name (10,000)").expect("the next one");
    let listed = first.matches("- role_").count();
    let rest = format!(
        "and 9,9{} more: SELECT source, subject, evidence FROM scram.audit_finding",
        100 - listed
    );
    assert!(listed >= 5 && first.contains(&rest), "{listed} in {first}");
    assert!(first.contains(
        "WHERE check_id = 'password_empty' AND severity = 'critical' AND status = 'open' AND NOT is_off;"
    ));
    assert!(first.contains("SELECT scram.rotate_role('role_0');"), "{first}");

    let html = Format::Html.render(&report);
    assert!(html.len() < 500_000, "{} bytes", html.len());
    assert!(html.contains("more password_empty: <code>SELECT source, subject, evidence"));
    assert!(html.contains("SELECT scram.rotate_role('role_4');"));

    // json has all.
    let json: serde_json::Value =
        serde_json::from_str(&Format::Json.render(&report)).expect("JSON");
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(40_000));
}

/// The most that can be stored, in every list, with names and texts that take the most room.
#[test]
fn everything_at_once() {
    let long = "\u{202e}\u{1f600}".repeat(60);
    let mut findings = Vec::new();
    for check in CHECKS {
        for severity in Severity::ALL {
            for (at, status) in [Status::Open, Status::Accepted].iter().cycle().take(24).enumerate()
            {
                findings.push(Finding {
                    source: long.clone(),
                    subject: format!("{long}{at}"),
                    evidence: long.repeat(20),
                    note: Some(format!("{at}{long}")),
                    status: *status,
                    ..finding(check.id, severity, "x")
                });
            }
        }
    }
    findings.sort_by_key(|finding| finding.severity);
    let mut report = report(findings);
    report.cluster.name = long.clone();
    report.cluster.database = long.clone();
    report.fixed = (0..500)
        .map(|at| FixedFinding {
            source: long.clone(),
            subject: format!("{long}{at}"),
            check_id: "md5_hash".to_owned(),
            severity: Severity::Warning,
            evidence: long.clone(),
        })
        .collect();
    report.census = (0..50)
        .flat_map(|source| {
            let long = long.clone();
            (0..100).map(move |count| Cell {
                source: format!("{long}{source}"),
                kind: "scram-sha-256".to_owned(),
                iterations: Some(count),
                subjects: 1,
            })
        })
        .collect();
    let text = Format::Text.render(&report);
    assert!(text.lines().count() < 200, "{} lines", text.lines().count());
    assert!(text.contains("LAST RUNS"), "the end is there: {text}");
    let html = Format::Html.render(&report);
    assert!(html.len() < 500_000, "{} bytes", html.len());
}

/// A small report has each finding.
#[test]
fn nothing_is_left_out_without_need() {
    let report = report(many(3, 12));
    let text = Format::Text.render(&report);
    assert_eq!(text.matches("  - role_").count(), 36, "{text}");
    assert!(!text.contains(" more: SELECT"));
    let html = Format::Html.render(&report);
    assert_eq!(html.matches("<th scope=\"row\">role_").count(), 36 + 10, "findings and changes");
}

#[test]
fn an_older_run_is_listed_by_its_number() {
    let older = Report { is_latest: false, ..report(many(1, 1000)) };
    let text = Format::Text.render(&older).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("severity = 'critical' AND 12 BETWEEN first_run AND last_run;"),
        "{text}"
    );
}

/// Commands for one finding: check, source, subject, evidence, and the lines that end it.
#[test]
fn commands_have_the_real_name() {
    let long = format!("r{}", "o".repeat(60));
    for (check, source, subject, evidence, expected) in [
        ("md5_hash", "role", "ann", "", "SELECT scram.rotate_role('ann');"),
        ("md5_hash", "role", "O'Brien \"x\"", "", "SELECT scram.rotate_role('O''Brien \"x\"');"),
        // Such a name is looked up, because the reader does not see it as it is.
        (
            "md5_hash",
            "role",
            "two\nlines",
            "",
            "SELECT scram.rotate_role(f.subject::name)\nFROM scram.audit_finding f WHERE f.finding_id = 7;",
        ),
        (
            "md5_hash",
            "role",
            &long,
            "",
            "SELECT scram.rotate_role(f.subject::name)\nFROM scram.audit_finding f WHERE f.finding_id = 7;",
        ),
        (
            "password_expired",
            "role",
            "ann",
            "",
            "SELECT scram.rotate_role('ann',\n    valid_until => now() + interval '90 days');",
        ),
        (
            "password_expired",
            "role",
            "a\\b",
            "",
            "SELECT scram.rotate_role(f.subject::name,\n    valid_until => now() + interval '90 days')\nFROM scram.audit_finding f WHERE f.finding_id = 7;",
        ),
        (
            "password_without_login",
            "role",
            "Ann \"B\"",
            "",
            "ALTER ROLE \"Ann \"\"B\"\"\" PASSWORD NULL;",
        ),
        (
            "password_without_login",
            "role",
            "\u{200b}",
            "",
            "SELECT format('ALTER ROLE %I PASSWORD NULL', f.subject)\nFROM scram.audit_finding f WHERE f.finding_id = 7 \\gexec",
        ),
        (
            "role_setting_override",
            "role",
            "ann",
            "password_encryption=md5; scram_iterations=9 in database \"My DB\"; the role has CREATEROLE",
            "ALTER ROLE \"ann\" RESET password_encryption;\nALTER ROLE \"ann\" IN DATABASE \"My DB\" RESET scram_iterations;",
        ),
        // A database's name is one name, also with semicolons and quotation marks.
        (
            "role_setting_override",
            "role",
            "ann",
            "scram_iterations=9 in database \"a; b=1\"; the role has CREATEROLE",
            "ALTER ROLE \"ann\" IN DATABASE \"a; b=1\" RESET scram_iterations;",
        ),
        (
            "role_setting_override",
            "role",
            "ann",
            "scram_iterations=9 in database \"\"\"; b=1\"",
            "ALTER ROLE \"ann\" IN DATABASE \"\"\"; b=1\" RESET scram_iterations;",
        ),
        (
            "role_setting_override",
            "role",
            "ann",
            "scram_iterations=9 in database \"two\nlines\"",
            "",
        ),
        (
            "role_setting_override",
            "server",
            "database \"My DB\"",
            "password_encryption=md5",
            "ALTER DATABASE \"My DB\" RESET password_encryption;",
        ),
        (
            "role_setting_override",
            "server",
            "all roles",
            "password_encryption=md5",
            "ALTER ROLE ALL RESET password_encryption;",
        ),
        (
            "hash_readable",
            "role",
            "ann",
            "SELECT on pg_authid; the role has CREATEROLE",
            "REVOKE SELECT ON pg_authid FROM \"ann\";",
        ),
        (
            "hash_readable",
            "server",
            "function public.look(u text)",
            "function public.look(u text) looks like it returns stored hashes with the rights of \"postgres\", and PUBLIC may call it",
            "REVOKE EXECUTE ON ROUTINE public.look(u text) FROM PUBLIC;",
        ),
        (
            "hash_readable",
            "server",
            "view public.\"My View\"",
            "view public.\"My View\" looks like it returns stored hashes with the rights of \"postgres\", and PUBLIC may read it",
            "REVOKE SELECT ON public.\"My View\" FROM PUBLIC;",
        ),
        (
            "password_encryption_md5",
            "server",
            "password_encryption",
            "",
            "ALTER SYSTEM SET password_encryption = 'scram-sha-256';\nSELECT pg_reload_conf();",
        ),
        // A library's name is one name, also with a semicolon.
        (
            "guard_off",
            "server",
            "scram.guard",
            "session_preload_libraries is \"a; b\"",
            "ALTER SYSTEM SET session_preload_libraries = 'a; b', 'scram_ext';\nSELECT pg_reload_conf();",
        ),
        (
            "passwords_logged",
            "server",
            "log_statement",
            "log_statement is ddl",
            "ALTER SYSTEM SET log_statement = 'none';\nSELECT pg_reload_conf();",
        ),
        (
            "hba_trust",
            "server",
            "local \"My DB\" all trust #2",
            "decides about every role that may log in; pg_hba.conf:3",
            "# pg_hba.conf:3, in place of the rule with trust:\nlocal \"My DB\" all scram-sha-256\nSELECT pg_reload_conf();",
        ),
        // The method and its options, where the subject is the whole rule.
        (
            "hba_md5",
            "server",
            "hostssl all all 10.0.0.0/8 md5 clientcert=verify-full",
            "decides about \"ann\"; pg_hba.conf:7",
            "# pg_hba.conf:7, in place of the rule with md5:\nhostssl all all 10.0.0.0/8 scram-sha-256 clientcert=verify-full\nSELECT pg_reload_conf();",
        ),
        (
            "hba_trust",
            "server",
            "host all all ::1/128 trust",
            "decides about \"ann\"; pg_hba.conf:9",
            "# pg_hba.conf:9, in place of the rule with trust:\nhost all all ::1/128 scram-sha-256\nSELECT pg_reload_conf();",
        ),
        // A long rule is continued as the server reads it, and one with a hostile name is not shown.
        (
            "hba_trust",
            "server",
            "host aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb samenet trust",
            "decides about \"ann\"; pg_hba.conf:3",
            "# pg_hba.conf:3, in place of the rule with trust:\nhost aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \\\n    bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb samenet scram-sha-256\nSELECT pg_reload_conf();",
        ),
        ("hba_trust", "server", "local \"\u{202e}\" all trust", "pg_hba.conf:3", ""),
        ("hba_trust", "server", "local a all trust... (digest 0123)", "pg_hba.conf:3", ""),
        (
            "source_unreadable",
            "server",
            "source it's",
            "gone (SQLSTATE 42P01)",
            "SELECT scram.drop_audit_source('it''s');",
        ),
        ("source_unreadable", "server", "source it's", "lacks USAGE (SQLSTATE 42501)", ""),
        // Users of an application are its own.
        ("md5_hash", "accounts", "ann", "stored as md5", ""),
        ("no_such_check", "role", "ann", "", ""),
    ] {
        let one = Finding {
            source: source.to_owned(),
            subject: subject.to_owned(),
            evidence: evidence.to_owned(),
            ..finding(check, Severity::Critical, "x")
        };
        let text = Format::Text.render(&report(vec![one]));
        let (_, section) = text.split_once("CRITICAL (1)\n------------\n").expect("a section");
        let (section, _) = section.split_once("\n\nLAST RUNS").expect("its end");
        let commands: Vec<_> = section
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .skip_while(|line| {
                !["SELECT", "ALTER", "REVOKE", "# "].iter().any(|word| line.starts_with(word))
            })
            .collect();
        assert_eq!(commands.join("\n"), expected, "{check} {subject:?}: {section}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }
}

/// A percent sign of a database's name is none of the format() that looks the role's name up.
#[test]
fn a_percent_sign_is_no_format() {
    let one = Finding {
        source: "role".to_owned(),
        subject: "a\\b".to_owned(),
        evidence: "scram_iterations=9 in database \"5%\"".to_owned(),
        ..finding("role_setting_override", Severity::Critical, "x")
    };
    let html = Format::Html.render(&report(vec![one]));
    assert!(html.contains("5%%"), "{html}");
}

/// So many roles with each of the first checks.
fn many(checks: usize, roles: usize) -> Vec<Finding> {
    let checks = CHECKS.iter().take(checks);
    checks
        .flat_map(|check| {
            (0..roles).map(|at| finding(check.id, Severity::Critical, &format!("role_{at}")))
        })
        .collect()
}

fn report(findings: Vec<Finding>) -> Report {
    let run = |run_id| Run {
        run_id,
        status: "done".to_owned(),
        started_at: moment(),
        finished_at: Some(moment()),
        subjects: 14,
        candidates_tested: 1204,
        candidates_left: 0,
        hidden: None,
    };
    let entry = |run_id| HistoryEntry {
        run_id,
        started_at: moment(),
        status: "done".to_owned(),
        findings: Counts::default(),
    };
    Report {
        version: "0.1.0".to_owned(),
        generated_at: moment(),
        cluster: Cluster {
            name: String::new(),
            database: "app".to_owned(),
            server_version: "15.1".to_owned(),
        },
        run: run(12),
        compared_with: Some(run(11)),
        is_latest: true,
        findings,
        fixed: Vec::new(),
        checks: CHECKS,
        min_iterations: 4096,
        census: Vec::new(),
        history: (1..=30).map(entry).collect(),
    }
}

fn finding(check_id: &str, severity: Severity, subject: &str) -> Finding {
    Finding {
        finding_id: 7,
        source: "role".to_owned(),
        subject: subject.to_owned(),
        check_id: check_id.to_owned(),
        severity,
        evidence: "what was seen".to_owned(),
        status: Status::Open,
        first_run: 12,
        first_seen: Some(moment()),
        change: Some(Change::New),
        accepted_until: None,
        note: None,
    }
}

fn moment() -> Timestamp {
    Timestamp { utc: "2026-11-22T03:17:04Z".to_owned(), unix: 1000.0 }
}
