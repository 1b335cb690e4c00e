//! `prometheus`: numbers for node_exporter's textfile collector or a push gateway. Never a subject's
//! name. The names are part of the interface and described in `docs/report.md`.

mod fleet;

use std::collections::HashMap;

use prometheus::{Encoder, Error, GaugeVec, Opts, Registry, TextEncoder};

use password_audit::Severity;

use crate::model::{Cluster, Metrics, Run, Status};

pub(crate) use fleet::render as render_fleet;

/// The statuses that a run can have.
const STATUSES: [&str; 4] = ["done", "interrupted", "partial", "running"];

pub(crate) fn render(metrics: &Metrics) -> String {
    // The names below are valid and differ, which is all that can be wrong.
    gathered(metrics).unwrap_or_default()
}

fn gathered(metrics: &Metrics) -> Result<String, Error> {
    let page = Page::of(&metrics.cluster);
    let info = page.gauge("info", "Versions; always 1.", &["server_version", "version"])?;
    let versions = [metrics.cluster.server_version.as_str(), &metrics.version];
    info.with_label_values(&versions).set(1.0);
    findings(metrics, &page)?;
    times(metrics, &page)?;
    if let Some(run) = &metrics.run {
        self::run(run, &page)?;
    }
    let subjects = page.gauge(
        "subjects",
        "Roles and rows of sources by what is stored for them.",
        &["source", "kind", "iterations"],
    )?;
    for cell in &metrics.census {
        let iterations = cell.iterations.map(|count| count.to_string()).unwrap_or_default();
        let labels = [cell.source.as_str(), &cell.kind, &iterations];
        subjects.with_label_values(&labels).add(float(cell.subjects));
    }
    page.text()
}

fn findings(metrics: &Metrics, page: &Page) -> Result<(), Error> {
    let all =
        page.gauge("findings", "Findings that stand.", &["source", "check", "severity", "status"])?;
    // Exported even if zero, so that an alert rule always finds the series.
    let open =
        page.gauge("open_findings", "Findings that stand and are not accepted.", &["severity"])?;
    for severity in Severity::ALL {
        open.with_label_values(&[severity.as_str()]).set(0.0);
    }
    let (mut new, mut fixed) = (0, 0);
    for found in &metrics.findings {
        let severity = found.severity.as_str();
        new += if found.is_new { found.count } else { 0 };
        let Some(status) = found.status else {
            fixed += found.count;
            continue;
        };
        let labels = [found.source.as_str(), &found.check_id, severity, status.name()];
        all.with_label_values(&labels).add(float(found.count));
        if status == Status::Open {
            open.with_label_values(&[severity]).add(float(found.count));
        }
    }
    if metrics.is_compared {
        let help = "Findings that the finished run before did not have.";
        page.number("new_findings", help, float(new))?;
        let help = "Findings of the finished run before that no longer stand.";
        page.number("fixed_findings", help, float(fixed))?;
    }
    Ok(())
}

/// Times of the last runs are 0 if there is none, so that a rule on their age fires.
fn times(metrics: &Metrics, page: &Page) -> Result<(), Error> {
    let end = |run: &Option<Run>| {
        run.as_ref().and_then(|run| run.finished_at.as_ref()).map(|end| end.unix)
    };
    let (finished, success) = (end(&metrics.last_finished), end(&metrics.last_success));
    page.number(
        "last_run_timestamp_seconds",
        "When the last run began; 0 before the first one.",
        metrics.run.as_ref().map_or(0.0, |run| run.started_at.unix),
    )?;
    page.number(
        "last_finished_timestamp_seconds",
        "When the last run ended that was done or partial; 0 before it.",
        finished.unwrap_or(0.0),
    )?;
    page.number(
        "last_success_timestamp_seconds",
        "When the last run ended that left nothing; 0 before it.",
        success.unwrap_or(0.0),
    )?;
    if let Some(finished) = finished {
        page.number(
            "age_seconds",
            "Time since the last run ended that was done or partial.",
            (metrics.generated_at.unix - finished).max(0.0),
        )?;
    }
    if let Some(next) = &metrics.next_expiry {
        page.number(
            "next_expiry_timestamp_seconds",
            "The next VALID UNTIL of a role that may log in.",
            next.unix,
        )?;
        page.number(
            "next_expiry_seconds",
            "Time until the next VALID UNTIL of a role that may log in.",
            (next.unix - metrics.generated_at.unix).max(0.0),
        )?;
    }
    Ok(())
}

fn run(run: &Run, page: &Page) -> Result<(), Error> {
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
    /// Two databases of one host, or two clusters: their series must differ.
    fn of(cluster: &Cluster) -> Self {
        let mut common = HashMap::from([("database".to_owned(), cluster.database.clone())]);
        if !cluster.name.is_empty() {
            common.insert("cluster".to_owned(), cluster.name.clone());
        }
        Self { common, registry: Registry::new() }
    }

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
