//! The page of a report on a fleet.

use maud::{Markup, PreEscaped, html};
use password_audit::Severity;

use super::listed::{MOST, SMALL_TABLE_BYTES, TABLE_BYTES, fitting};
use super::tables::{badge, columns, more};
use super::{count, evidence, moment, name, shell, summary};
use crate::fleet::{Fleet, FleetCheck, FleetFinding, FleetServer, SharedSecret};
use crate::model::Timestamp;
use crate::show::{counted, number, visible};

pub(crate) fn render(fleet: &Fleet) -> String {
    let title = html! { "Password audits of the fleet" };
    let body = html! {
        header {
            p.eyebrow { "scram_ext" }
            h1 { (title) }
            p.verdict { (verdict(fleet)) }
        }
        main {
            (summary(&fleet.counts(), |_| html! {}, &html! {}))
            (servers(fleet))
            (checks(fleet))
            (findings(fleet))
            (shared(fleet))
        }
        footer {
            p {
                "Made by scram_ext " (fleet.version) " in database " (name(&fleet.collector.database))
                " at " (moment(&fleet.generated_at)) ". "
                "Times are in UTC. The page names roles and their weaknesses, but holds no password, hash or key: keep it to those who may know."
            }
        }
    };
    shell(&title, &body)
}

/// The page in one sentence.
fn verdict(fleet: &Fleet) -> String {
    let counts = fleet.counts();
    let servers = counted(fleet.servers.len() as i64, "server", "servers");
    let failed = match fleet.failed().len() {
        0 => String::new(),
        failed => format!("; {} with an error", count(failed)),
    };
    let open = counted(counts.open(), "open finding", "open findings");
    format!("{open}, {} critical, on {servers}{failed}.", number(counts.critical))
}

/// A table that scrolls where it is wider than the page, with rows that [`fitting`] has made.
fn table(caption: &str, headings: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table {
                caption.sr { (caption) }
                thead { (columns(headings)) }
                tbody { @for row in rows.iter().flatten() { (PreEscaped(row)) } }
            }
        }
    }
}

fn servers(fleet: &Fleet) -> Markup {
    let mut servers = fleet.worst_first();
    // A server that does not answer comes first, because its numbers are old.
    servers.sort_by_key(|server| server.error.is_none());
    let rows = fitting(&[servers.clone()], MOST, TABLE_BYTES, |server| server_row(server));
    let shown = rows.first().map_or(0, Vec::len);
    html! {
        section aria-labelledby="servers" {
            h2 #servers { "Servers " span.count { (count(servers.len())) } }
            (table("Servers of the fleet, those with errors first", &["Server", "Critical", "Warning", "Notice", "Accepted", "Last run", "Last seen", "Error"], &rows))
            @if shown < servers.len() {
                (more(servers.len() - shown, "servers", "SELECT * FROM scram.fleet_server;"))
            }
        }
    }
}

fn server_row(server: &FleetServer) -> Markup {
    let time = |time: &Option<Timestamp>| html! { @if let Some(time) = time { (moment(time)) } @else { "never" } };
    html! {
        tr {
            th scope="row" { (name(&server.name)) }
            @for severity in Severity::ALL { td { (number(server.findings.of(severity))) } }
            td { (number(server.findings.accepted)) }
            td { (time(&server.last_run)) " " (visible(server.shown_status())) }
            td { (time(&server.last_seen)) }
            td {
                (evidence(server.error.as_deref().unwrap_or_default()))
                @if server.left_out > 0 { " (" (counted(server.left_out, "finding", "findings")) " left out)" }
            }
        }
    }
}

fn checks(fleet: &Fleet) -> Markup {
    let row = |check: &&FleetCheck| {
        html! {
            tr {
                td { (badge(check.severity)) }
                td { code { (name(&check.check_id)) } }
                td { (fleet.title(&check.check_id)) }
                td { (number(check.findings)) }
                td { (number(check.servers)) }
            }
        }
    };
    let rows = fitting(&[fleet.checks.iter().collect()], MOST, SMALL_TABLE_BYTES, row);
    html! {
        @if !fleet.checks.is_empty() {
            section aria-labelledby="checks" {
                h2 #checks { "Open findings by check" }
                (table("Open findings of all servers by check, the worst first", &["Severity", "Check", "Meaning", "Findings", "Servers"], &rows))
            }
        }
    }
}

fn findings(fleet: &Fleet) -> Markup {
    let row = |finding: &&FleetFinding| {
        html! {
            tr {
                td { (name(&finding.server)) }
                td { code { (name(&finding.check_id)) } }
                td { (name(&finding.source)) }
                th scope="row" { (name(&finding.subject)) }
                td { (evidence(&finding.evidence)) }
            }
        }
    };
    let rows = fitting(&[fleet.critical.iter().collect()], MOST, SMALL_TABLE_BYTES, row);
    let all = usize::try_from(fleet.counts().critical).unwrap_or(usize::MAX);
    let shown = rows.first().map_or(0, Vec::len);
    let listing =
        "SELECT * FROM scram.fleet_findings WHERE status = 'open' AND severity = 'critical';";
    html! {
        @if all > 0 {
            section aria-labelledby="critical" {
                h2 #critical { "Critical findings " span.count { (count(all)) } }
                (table("Open critical findings", &["Server", "Check", "Source", "Subject", "Evidence"], &rows))
                @if shown < all { (more(all - shown, "critical", listing)) }
            }
        }
    }
}

fn shared(fleet: &Fleet) -> Markup {
    let row = |secret: &&SharedSecret| {
        html! {
            tr {
                td { code { (name(&secret.kind)) } }
                td { (number(secret.clusters)) }
                td { (secret.shown_members()) }
            }
        }
    };
    let rows = fitting(&[fleet.shared.iter().collect()], MOST, SMALL_TABLE_BYTES, row);
    let all = usize::try_from(fleet.shared_secrets).unwrap_or(usize::MAX);
    let shown = rows.first().map_or(0, Vec::len);
    html! {
        @if all > 0 {
            section aria-labelledby="shared" {
                h2 #shared { "Secrets that clusters share " span.count { (count(all)) } }
                (table("Stored secrets that more than one cluster has", &["Kind", "Clusters", "Roles, each as server/role"], &rows))
                @if shown < all { (more(all - shown, "secrets", "SELECT * FROM scram.fleet_shared;")) }
            }
        }
    }
}
