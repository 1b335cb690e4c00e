//! `prometheus`: numbers for node_exporter's textfile collector or a push gateway. Never a subject's
//! name. The names are part of the interface and described in `docs/report.md`.

use std::collections::{BTreeMap, HashMap};

use prometheus::{Encoder, Error, GaugeVec, Opts, Registry, TextEncoder};

use password_audit::Severity;

use crate::model::{Change, Report};

/// The statuses that a run can have.
const STATUSES: [&str; 4] = ["done", "interrupted", "partial", "running"];

pub(crate) fn render(report: &Report) -> String {
    // The names below are valid and differ, which is all that can be wrong.
    gathered(report).unwrap_or_default()
}

fn gathered(report: &Report) -> Result<String, Error> {
    // Two databases of one host, or two clusters: their series must differ.
    let mut common = HashMap::from([("database".to_owned(), report.cluster.database.clone())]);
    if !report.cluster.name.is_empty() {
        common.insert("cluster".to_owned(), report.cluster.name.clone());
    }
    let page = Page { common, registry: Registry::new() };

    let info = page.gauge("info", "Versions; always 1.", &["server_version", "version"])?;
    info.with_label_values(&[report.cluster.server_version.as_str(), &report.version]).set(1.0);
    findings(report, &page)?;
    run(report, &page)?;
    let subjects = page.gauge(
        "subjects",
        "Roles and rows of sources by what is stored for them.",
        &["source", "kind", "iterations"],
    )?;
    for cell in &report.census {
        let iterations = cell.iterations.map(|count| count.to_string()).unwrap_or_default();
        let labels = [cell.source.as_str(), &cell.kind, &iterations];
        subjects.with_label_values(&labels).add(float(cell.subjects));
    }
    page.text()
}

fn findings(report: &Report, page: &Page) -> Result<(), Error> {
    let mut counts = BTreeMap::new();
    for finding in &report.findings {
        let labels = [
            finding.source.as_str(),
            &finding.check_id,
            finding.severity.as_str(),
            finding.status.name(),
        ];
        *counts.entry(labels).or_insert(0) += 1;
    }
    let all =
        page.gauge("findings", "Findings that stand.", &["source", "check", "severity", "status"])?;
    for (labels, count) in counts {
        all.with_label_values(&labels).set(float(count));
    }

    // Exported even if zero, so that an alert rule always finds the series.
    let open =
        page.gauge("open_findings", "Findings that stand and aren't accepted.", &["severity"])?;
    for severity in Severity::ALL {
        open.with_label_values(&[severity.as_str()]).set(float(report.counts().of(severity)));
    }
    if report.compared_with.is_some() {
        let count = |count: usize| float(i64::try_from(count).unwrap_or(i64::MAX));
        page.number(
            "new_findings",
            "Findings that the finished run before did not have.",
            count(report.count(Change::New)),
        )?;
        page.number(
            "fixed_findings",
            "Findings of the finished run before that no longer stand.",
            count(report.fixed.len()),
        )?;
    }
    Ok(())
}

fn run(report: &Report, page: &Page) -> Result<(), Error> {
    let run = &report.run;
    page.number("run_id", "Number of the run reported on.", float(run.run_id))?;
    let status =
        page.gauge("run_status", "State of the run: 1 for the one it is in.", &["status"])?;
    for known in STATUSES {
        status.with_label_values(&[known]).set(if known == run.status { 1.0 } else { 0.0 });
    }
    page.number("run_started_timestamp_seconds", "When the run began.", run.started_at.unix)?;
    if let Some(end) = &run.finished_at {
        page.number("run_finished_timestamp_seconds", "When the run ended.", end.unix)?;
    }
    if let Some(seconds) = run.duration() {
        page.number("run_duration_seconds", "How long the run took.", seconds)?;
    }
    if let Some(end) = report.last_finished.as_ref().and_then(|run| run.finished_at.as_ref()) {
        page.number(
            "last_finished_timestamp_seconds",
            "When the last finished run ended.",
            end.unix,
        )?;
    }
    page.number(
        "run_subjects",
        "Roles and rows of sources that the run looked at.",
        float(run.subjects),
    )?;
    page.number(
        "run_candidates_tested",
        "Passwords that the run tried.",
        float(run.candidates_tested),
    )?;
    page.number(
        "run_candidates_left",
        "Passwords that the next run goes on with.",
        float(run.candidates_left),
    )
}

struct Page {
    common: HashMap<String, String>,
    registry: Registry,
}

impl Page {
    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        let options = Opts::new(format!("scram_audit_{name}"), help);
        let gauge = GaugeVec::new(options.const_labels(self.common.clone()), labels)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn number(&self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.gauge(name, help, &[])?.with_label_values::<&str>(&[]).set(value);
        Ok(())
    }

    fn text(&self) -> Result<String, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a sample is a double: no count here comes near 2^53"
)]
fn float(count: i64) -> f64 {
    count as f64
}
