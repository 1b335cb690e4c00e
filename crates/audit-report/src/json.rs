//! `json`: everything, for programs. The shape is part of the interface and described in
//! `docs/report.md`.

use password_audit::{AuditCheck, Severity};
use serde::Serialize;

use crate::model::{
    Cell, Change, Cluster, Counts, Finding, FixedFinding, HistoryEntry, Report, Run, Timestamp,
};

/// Version of the format. Increase it when a field changes its meaning or is removed; a new field
/// needs no new version.
const SHAPE: u32 = 1;

pub(crate) fn render(report: &Report) -> String {
    let document = Document {
        report: "scram_ext audit",
        version: SHAPE,
        extension_version: &report.version,
        generated_at: &report.generated_at,
        cluster: &report.cluster,
        run: Timed { run: &report.run, duration_seconds: report.run.duration() },
        summary: report.counts(),
        changes: report.compared_with.as_ref().map(|before| Changes {
            since_run: before.run_id,
            new: report.count(Change::New),
            changed: report.count(Change::Changed),
            fixed: report.fixed.len(),
        }),
        findings: &report.findings,
        fixed: &report.fixed,
        checks: report.checks.iter().map(Check::new).collect(),
        census: &report.census,
        history: &report.history,
    };
    // Serialization cannot fail here: every map has string keys, and the writer is a `String`.
    ascii(&serde_json::to_string_pretty(&document).unwrap_or_default())
}

#[derive(Serialize)]
struct Document<'a> {
    report: &'static str,
    version: u32,
    extension_version: &'a str,
    generated_at: &'a Timestamp,
    cluster: &'a Cluster,
    run: Timed<'a>,
    summary: Counts,
    changes: Option<Changes>,
    findings: &'a [Finding],
    fixed: &'a [FixedFinding],
    checks: Vec<Check>,
    census: &'a [Cell],
    history: &'a [HistoryEntry],
}

#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    run: &'a Run,
    duration_seconds: Option<f64>,
}

#[derive(Serialize)]
struct Changes {
    since_run: i64,
    new: usize,
    changed: usize,
    fixed: usize,
}

/// An entry of `scram.audit_checks()`.
#[derive(Serialize)]
struct Check {
    check_id: &'static str,
    severity: Severity,
    title: &'static str,
    remedy: &'static str,
}

impl Check {
    fn new(check: &'static AuditCheck) -> Self {
        let AuditCheck { id, severity, title, remedy, .. } = *check;
        Self { check_id: id, severity, title, remedy }
    }
}

/// Escapes DEL and every character outside ASCII. They occur only within strings, where JSON has
/// escapes for them.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}
