//! Metrics of a fleet, with the name of the foreign server as label `server` and no name of a subject.

use prometheus::Error;

use password_audit::Severity;

use super::{Page, float};
use crate::fleet::Fleet;
use crate::model::Timestamp;

pub(crate) fn render(fleet: &Fleet) -> String {
    // The names below are valid and differ, which is all that can be wrong.
    gathered(fleet).unwrap_or_default()
}

fn gathered(fleet: &Fleet) -> Result<String, Error> {
    let page = Page::of(&fleet.collector);
    page.number("fleet_servers", "Servers of the fleet.", float(fleet.servers.len() as i64))?;
    let up = page.gauge(
        "fleet_up",
        "1 if the last refresh got an answer without an error, with a run in it.",
        &["server"],
    )?;
    let seen = page.gauge(
        "fleet_last_seen_timestamp_seconds",
        "When the server last sent an answer; 0 before it.",
        &["server"],
    )?;
    let run = page.gauge(
        "fleet_last_run_timestamp_seconds",
        "When the last run of the server began; 0 before the first one.",
        &["server"],
    )?;
    let open = page.gauge(
        "fleet_open_findings",
        "Findings of the server that stand and are not accepted.",
        &["server", "severity"],
    )?;
    let accepted =
        page.gauge("fleet_accepted_findings", "Accepted findings of the server.", &["server"])?;
    let unix = |moment: &Option<Timestamp>| moment.as_ref().map_or(0.0, |moment| moment.unix);
    for server in &fleet.servers {
        let name = [server.name.as_str()];
        up.with_label_values(&name).set(if server.is_up() { 1.0 } else { 0.0 });
        seen.with_label_values(&name).set(unix(&server.last_seen));
        run.with_label_values(&name).set(unix(&server.last_run));
        accepted.with_label_values(&name).set(float(server.findings.accepted));
        for severity in Severity::ALL {
            let labels = [server.name.as_str(), severity.as_str()];
            open.with_label_values(&labels).set(float(server.findings.of(severity)));
        }
    }
    let checks = page.gauge(
        "fleet_check_findings",
        "Open findings of all servers by check.",
        &["check", "severity"],
    )?;
    for check in &fleet.checks {
        let labels = [check.check_id.as_str(), check.severity.as_str()];
        checks.with_label_values(&labels).set(float(check.findings));
    }
    page.number(
        "fleet_shared_secrets",
        "Stored secrets of roles that more than one cluster has.",
        float(fleet.shared_secrets),
    )?;
    page.text()
}
