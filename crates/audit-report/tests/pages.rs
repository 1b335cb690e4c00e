//! The four forms of a report, of hostile names above all.

use audit_report::{
    Cell, Change, Cluster, Counts, Finding, FixedFinding, Format, HistoryEntry, Report, Run,
    Status, Timestamp, WIDTH,
};
use password_audit::{AuditCheck, CheckKind, Severity};

/// Names that roles and databases may have.
const HOSTILE: [&str; 9] = [
    "\"><script>alert(1)</script>",
    "' onload='x' & <img src=x>",
    "two\nCRITICAL (0)\n------------",
    "\u{1b}[2J\u{1b}[31mred\u{7f}",
    "abc\u{202e}cod.exe\u{2066}",
    "\u{301}\u{200b}\u{feff}",
    "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢",
    "back\\slash \\n {}",
    "a b                                                        CRITICAL (0)",
];

#[test]
fn a_name_is_one_line_of_a_text() {
    let text = Format::Text.render(&hostile());
    for line in text.lines() {
        assert!(columns(line) <= WIDTH, "{} columns: {line:?}", columns(line));
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}']), "{line:?}");
    }
    // A heading begins a line; a text from a catalog does not.
    let headings: Vec<_> = text.lines().filter(|line| line.starts_with("CRITICAL")).collect();
    assert_eq!(headings, ["CRITICAL (9)"]);
    assert!(text.contains(r#""two\nCRITICAL (0)\n------------""#), "{text}");
    assert!(text.contains(r#""back\\slash \\n {}""#), "a backslash is told from an escape: {text}");
}

#[test]
fn the_page_has_a_heading_for_each_part() {
    let html = Format::Html.render(&sample());
    for heading in [">Changes since run 11 <", ">What to do<", ">Open findings <", ">Accepted <"] {
        assert!(html.contains(heading), "{heading}: {html}");
    }
}

/// The text of docs/checks.md is in the page, for the checks with open findings.
#[test]
fn the_page_explains_its_checks() {
    let html = Format::Html.render(&sample());
    assert!(html.contains("About this check"), "{html}");
    assert!(html.contains("<strong>Why it matters.</strong>"), "{html}");
    for left in ["](", "**", "```"] {
        assert!(!html.contains(left), "Markdown is left over: {left}");
    }
}

#[test]
fn a_text_tells_everything_worst_first() {
    let text = Format::Text.render(&sample());
    let expected = "\
Password audit
==============
database app of cluster 15/main
Run 12, done: 2026-11-22 03:17:04 UTC, took 2.5 s

       1 critical
       1 warning
       0 notice
       2 accepted

Since run 11 of 2026-11-21: 1 new, 1 changed, 1 fixed.
14 subjects looked at, 1,204 passwords tried, none is left.
Roles: 9 with scram-sha-256, 4,096 iterations; 5 with no password.

CRITICAL (1)
------------

md5_hash (1): the password is stored as an MD5 hash
  - ann: stored as md5 (NEW)
  To do: Set the password again: \\password ROLE in psql.
    SELECT scram.rotate_role('ann');

WARNING (1)
-----------

salt_short (1): the salt is shorter than scram.salt_length
  - bob in accounts: 4 bytes of salt (changed, since 2026-11-01)
  To do: Set the password again: \\password ROLE in psql.

FIXED SINCE RUN 11 (1)
----------------------
  - carl: md5_hash (critical)

ACCEPTED, NOT COUNTED ABOVE (2)
-------------------------------
  - md5_hash (critical), until 2027-06-30: moves in June
      dora, emil

LAST RUNS
---------
     run  started                   critical  warning   notice  accepted
      12  2026-11-22 03:17:04 UTC          1        1        0         2
      11  2026-11-21 03:17:04 UTC          1        1        0         2";
    assert_eq!(text, expected);
}

#[test]
fn json_keeps_names_as_they_are_and_is_ascii() {
    let report = hostile();
    let json = Format::Json.render(&report);
    assert!(json.bytes().all(|byte| byte == b'\n' || (b' '..0x7f).contains(&byte)), "{json}");
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["version"], 1);
    assert_eq!(value["cluster"]["database"], HOSTILE[0]);
    let findings = value["findings"].as_array().expect("findings");
    assert_eq!(value["census"][2]["source"], HOSTILE[2]);
    let subjects: Vec<_> = findings.iter().filter_map(|one| one["subject"].as_str()).collect();
    assert_eq!(subjects, HOSTILE);
    assert_eq!(findings[0]["severity"], "critical");
    assert_eq!(findings[0]["first_seen"], "2026-11-22T03:17:04Z");
    assert_eq!(value["run"]["duration_seconds"], 2.5);
    assert_eq!(value["changes"]["since_run"], 11);
    assert_eq!(value["history"][0]["critical"], 1);

    let first = Report { compared_with: None, ..sample() };
    let value: serde_json::Value =
        serde_json::from_str(&Format::Json.render(&first)).expect("JSON");
    assert!(value["changes"].is_null());
}

#[test]
fn html_is_ascii_and_escapes_every_name() {
    let html = Format::Html.render(&hostile());
    assert!(html.is_ascii());
    assert_eq!(html.matches("<script").count(), 1, "the page's own alone");
    assert!(!html.contains("<img"));
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(html.contains("two\\nCRITICAL (0)\\n"));
    assert!(html.contains("\\u{202e}cod.exe"));
    assert!(html.contains("&#28450;&#23383;"), "characters are references");
    let html = Format::Html.render(&sample());
    // Digests and comments may have two slashes.
    let (_, html) = html.split_once("form-action 'none'\">").expect("the policy");
    let lines = html.lines().filter(|line| !line.trim_start().starts_with("// "));
    let body: String = ["url(#hatch)", "url(#dots)"]
        .iter()
        .fold(lines.collect(), |text: String, own| text.replace(own, ""));
    for outside in ["http:", "https:", "//", "@import", "url(", " src=", "<link", " style="] {
        assert!(!body.contains(outside), "{outside}");
    }
}

#[test]
fn the_pages_policy_allows_its_own_style_and_script_alone() {
    use base64::Engine;
    use sha2::{Digest, Sha256};

    let html = Format::Html.render(&sample());
    let between = |start: &str, end: &str| {
        let (_, rest) = html.split_once(start).expect(start);
        rest.split_once(end).expect(end).0
    };
    let policy = between("Content-Security-Policy\" content=\"", "\"");
    for (directive, text) in [
        ("style-src", between("<style>", "</style>")),
        ("script-src", between("<script>", "</script>")),
    ] {
        let digest = base64::prelude::BASE64_STANDARD.encode(Sha256::digest(text));
        assert!(policy.contains(&format!("{directive} 'sha256-{digest}'")), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn nothing_found_is_a_report_too() {
    let report = Report {
        findings: Vec::new(),
        fixed: Vec::new(),
        census: Vec::new(),
        history: Vec::new(),
        compared_with: None,
        ..sample()
    };
    let text = Format::Text.render(&report);
    assert!(text.contains("       0 critical\n"), "{text}");
    assert!(text.contains("no finished run before it"), "{text}");
    let html = Format::Html.render(&report);
    assert!(html.contains("Nothing was found."), "{html}");
}

#[test]
fn formats_go_by_their_names() {
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
    }
    for unknown in ["", "TEXT", "xml", "text ", "prometheus"] {
        assert_eq!(Format::from_name(unknown), None, "{unknown:?}");
    }
}

/// A report with a hostile name in every place that holds a name.
fn hostile() -> Report {
    let mut report = sample();
    report.cluster.database = HOSTILE[0].to_owned();
    report.cluster.name = HOSTILE[2].to_owned();
    report.findings = HOSTILE
        .iter()
        .map(|name| Finding {
            source: (*name).to_owned(),
            evidence: format!("same as \"{name}\""),
            ..finding("role", name, Status::Open)
        })
        .collect();
    report.fixed[0].subject = HOSTILE[3].to_owned();
    report.census.push(Cell {
        source: HOSTILE[2].to_owned(),
        kind: "md5".to_owned(),
        iterations: None,
        subjects: 1,
    });
    report
}

fn sample() -> Report {
    let accepted = |subject| Finding {
        change: None,
        accepted_until: Some(moment("2027-06-30T00:00:00Z", 0.0)),
        note: Some("moves in June".to_owned()),
        ..finding("role", subject, Status::Accepted)
    };
    let counts = Counts { critical: 1, warning: 1, notice: 0, accepted: 2 };
    let run = |run_id, day| Run {
        run_id,
        status: "done".to_owned(),
        started_at: moment(&format!("2026-11-{day}T03:17:04Z"), 1000.0),
        finished_at: Some(moment(&format!("2026-11-{day}T03:17:06Z"), 1002.5)),
        subjects: 14,
        candidates_tested: 1204,
        candidates_left: 0,
        hidden: None,
    };
    let period = |run: Run| HistoryEntry {
        run_id: run.run_id,
        started_at: run.started_at,
        status: run.status,
        findings: counts,
    };
    let cell = |kind: &str, iterations, subjects| Cell {
        source: "role".to_owned(),
        kind: kind.to_owned(),
        iterations,
        subjects,
    };
    Report {
        version: "0.1.0".to_owned(),
        generated_at: moment("2026-11-22T06:00:00Z", 2000.0),
        cluster: Cluster {
            name: "15/main".to_owned(),
            database: "app".to_owned(),
            server_version: "15.1".to_owned(),
        },
        run: run(12, "22"),
        compared_with: Some(run(11, "21")),
        is_latest: true,
        findings: vec![
            finding("role", "ann", Status::Open),
            accepted("dora"),
            accepted("emil"),
            Finding {
                check_id: "salt_short".to_owned(),
                severity: Severity::Warning,
                evidence: "4 bytes of salt".to_owned(),
                first_seen: Some(moment("2026-11-01T03:17:04Z", 10.0)),
                change: Some(Change::Changed),
                ..finding("accounts", "bob", Status::Open)
            },
        ],
        fixed: vec![FixedFinding {
            source: "role".to_owned(),
            subject: "carl".to_owned(),
            check_id: "md5_hash".to_owned(),
            severity: Severity::Critical,
            evidence: "stored as md5".to_owned(),
        }],
        checks: CHECKS,
        min_iterations: 4096,
        census: vec![cell("scram-sha-256", Some(4096), 9), cell("none", None, 5)],
        history: vec![period(run(11, "21")), period(run(12, "22"))],
    }
}

const CHECKS: &[AuditCheck] = &[
    check("md5_hash", Severity::Critical, "the password is stored as an MD5 hash"),
    check("salt_short", Severity::Warning, "the salt is shorter than scram.salt_length"),
];

const fn check(id: &'static str, severity: Severity, title: &'static str) -> AuditCheck {
    let remedy = "Set the password again: \\password ROLE in psql.";
    AuditCheck { id, severity, title, remedy, kind: CheckKind::Unreadable }
}

fn finding(source: &str, subject: &str, status: Status) -> Finding {
    Finding {
        finding_id: 1,
        source: source.to_owned(),
        subject: subject.to_owned(),
        check_id: "md5_hash".to_owned(),
        severity: Severity::Critical,
        evidence: "stored as md5".to_owned(),
        status,
        first_run: 12,
        first_seen: Some(moment("2026-11-22T03:17:04Z", 1000.0)),
        change: Some(Change::New),
        accepted_until: None,
        note: None,
    }
}

fn moment(utc: &str, unix: f64) -> Timestamp {
    Timestamp { utc: utc.to_owned(), unix }
}

/// Columns of a terminal: East Asian characters take two.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if ('\u{2e80}'..'\u{a000}').contains(&c) { 2 } else { 1 }).sum()
}
