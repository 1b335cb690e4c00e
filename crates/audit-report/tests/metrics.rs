//! Numbers for a monitoring system.

use audit_report::{Cell, Cluster, FindingCount, Metrics, Run, Status, Timestamp, metrics};
use password_audit::Severity;

#[test]
fn the_numbers_of_a_run() {
    let text = metrics(&sample());
    for line in [
        "scram_audit_findings{check=\"md5_hash\",cluster=\"15/main\",database=\"app\",severity=\"critical\",source=\"role\",status=\"open\"} 3",
        "scram_audit_findings{check=\"md5_hash\",cluster=\"15/main\",database=\"app\",severity=\"critical\",source=\"role\",status=\"accepted\"} 4",
        "scram_audit_open_findings{cluster=\"15/main\",database=\"app\",severity=\"critical\"} 3",
        "scram_audit_open_findings{cluster=\"15/main\",database=\"app\",severity=\"notice\"} 0",
        "scram_audit_new_findings{cluster=\"15/main\",database=\"app\"} 1",
        "scram_audit_fixed_findings{cluster=\"15/main\",database=\"app\"} 5",
        "scram_audit_last_run_timestamp_seconds{cluster=\"15/main\",database=\"app\"} 3000",
        "scram_audit_last_finished_timestamp_seconds{cluster=\"15/main\",database=\"app\"} 2500",
        "scram_audit_last_success_timestamp_seconds{cluster=\"15/main\",database=\"app\"} 1500",
        "scram_audit_age_seconds{cluster=\"15/main\",database=\"app\"} 1500",
        "scram_audit_next_expiry_seconds{cluster=\"15/main\",database=\"app\"} 600",
        "scram_audit_next_expiry_timestamp_seconds{cluster=\"15/main\",database=\"app\"} 4600",
        "scram_audit_run_status{cluster=\"15/main\",database=\"app\",status=\"running\"} 1",
        "scram_audit_subjects{cluster=\"15/main\",database=\"app\",iterations=\"4096\",kind=\"scram-sha-256\",source=\"role\"} 9",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    // The run has no end yet.
    assert!(!text.contains("scram_audit_run_finished"), "{text}");
}

/// A rule on the age of the last run has to fire before the first one too.
#[test]
fn before_the_first_run() {
    let none = Metrics {
        run: None,
        last_finished: None,
        last_success: None,
        is_compared: false,
        findings: Vec::new(),
        census: Vec::new(),
        next_expiry: None,
        ..sample()
    };
    let text = metrics(&none);
    let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let names: Vec<_> = samples.iter().filter_map(|line| line.split('{').next()).collect();
    for name in ["last_run", "last_finished", "last_success"] {
        let name = format!("scram_audit_{name}_timestamp_seconds");
        let sample = samples.iter().find(|line| line.starts_with(&name)).expect(&name);
        assert!(sample.ends_with(" 0"), "{sample}");
    }
    assert_eq!(names.iter().filter(|name| **name == "scram_audit_open_findings").count(), 3);
    assert!(names.contains(&"scram_audit_info"));
    for absent in ["run_id", "age_seconds", "next_expiry_seconds", "new_findings", "findings"] {
        assert!(!names.contains(&&*format!("scram_audit_{absent}")), "{absent}: {text}");
    }
}

#[test]
fn a_hostile_name_adds_no_line() {
    let hostile = "two\nscram_audit_open_findings 0 \"}\\ x";
    let mut report = sample();
    report.cluster.name = hostile.to_owned();
    report.findings.iter_mut().for_each(|found| found.source = hostile.to_owned());
    report.census[0].source = hostile.to_owned();
    let (text, plain) = (metrics(&report), metrics(&sample()));
    assert_eq!(text.lines().count(), plain.lines().count());
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        assert!(line.starts_with("scram_audit_") && line.contains('{'), "{line}");
        let (_, value) = line.rsplit_once(' ').expect("a sample");
        value.parse::<f64>().expect(line);
    }
}

fn sample() -> Metrics {
    let run = |run_id, status: &str, start: f64, end: Option<f64>| Run {
        run_id,
        status: status.to_owned(),
        started_at: moment(start),
        finished_at: end.map(moment),
        subjects: 14,
        candidates_tested: 1204,
        candidates_left: 0,
        hidden: None,
    };
    let counted = |status, is_new, count| FindingCount {
        source: "role".to_owned(),
        check_id: "md5_hash".to_owned(),
        severity: Severity::Critical,
        status,
        is_new,
        count,
    };
    Metrics {
        version: "0.1.0".to_owned(),
        generated_at: moment(4000.0),
        cluster: Cluster {
            name: "15/main".to_owned(),
            database: "app".to_owned(),
            server_version: "15.1".to_owned(),
        },
        run: Some(run(12, "running", 3000.0, None)),
        last_finished: Some(run(11, "partial", 2000.0, Some(2500.0))),
        last_success: Some(run(10, "done", 1000.0, Some(1500.0))),
        is_compared: true,
        findings: vec![
            counted(Some(Status::Open), true, 1),
            counted(Some(Status::Open), false, 2),
            counted(Some(Status::Accepted), false, 4),
            counted(None, false, 5),
        ],
        census: vec![Cell {
            source: "role".to_owned(),
            kind: "scram-sha-256".to_owned(),
            iterations: Some(4096),
            subjects: 9,
        }],
        next_expiry: Some(moment(4600.0)),
    }
}

fn moment(unix: f64) -> Timestamp {
    Timestamp { utc: "2026-11-22T03:17:04Z".to_owned(), unix }
}
