//! The tables of the page.

use maud::{Markup, PreEscaped, html};

use super::about::about;
use super::listed::{MOST, SMALL_TABLE_BYTES, TABLE_BYTES, fitting};
use super::{count, evidence, mark, moment, name};
use password_audit::Severity;

use crate::model::{Change, Finding, Report};
use crate::remedy;
use crate::show::{accepted_until, number, since};

/// Columns of a command: longer ones are broken.
const COMMAND_WIDTH: usize = 100;

/// The remedies: a row for each check that has an open finding, with commands for the first ones.
pub(super) fn remedies(report: &Report) -> Markup {
    let groups = report.by_check();
    let mut commands: Vec<_> = groups
        .iter()
        .map(|(_, id, findings)| remedy::commands(report, id, findings, COMMAND_WIDTH).join("\n"))
        .collect();
    if commands.iter().map(String::len).sum::<usize>() > SMALL_TABLE_BYTES / 2 {
        commands.iter_mut().for_each(String::clear);
    }
    html! {
        section aria-labelledby="to-do" {
            h2 #to-do { "What to do" }
            @if groups.is_empty() {
                p.empty {
                    "Nothing: none of the " (report.checks.len()) " checks has an open finding."
                }
            } @else {
                div.scroll tabindex="0" {
                    table.remedies {
                        caption.sr { "Checks with open findings, the worst first" }
                        thead { tr {
                            th scope="col" { "Severity" }
                            th scope="col" { "Check" }
                            th.number scope="col" { "Findings" }
                            th scope="col" { "Remedy" }
                        } }
                        tbody {
                            @for ((severity, id, findings), commands) in groups.iter().zip(&commands) {
                                @let check = report.check(id);
                                tr {
                                    td { (badge(*severity)) }
                                    th scope="row" {
                                        @if let Some(check) = check { (check.title) br; }
                                        code { (name(id)) }
                                    }
                                    td.number { (count(findings.len())) }
                                    td {
                                        @if let Some(check) = check { (check.remedy) }
                                        @if !commands.is_empty() { pre tabindex="0" { (commands) } }
                                        (about(id))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The open findings, or the first ones of each check. The script makes them sortable.
pub(super) fn findings(report: &Report) -> Markup {
    let open = report.counts().open();
    let checks = report.by_check();
    let groups: Vec<_> = checks.iter().map(|(.., findings)| findings.clone()).collect();
    let rows = fitting(&groups, MOST, TABLE_BYTES, |finding| row(finding));
    html! {
        @if open > 0 {
            section aria-labelledby="findings" {
                h2 #findings { "Open findings " span.count { (number(open)) } }
                table #all.cards {
                    caption.sr { "Open findings, the worst first" }
                    thead { (columns(&["Severity", "Check", "Source", "Subject", "Evidence", "Since"])) }
                    tbody { @for row in rows.iter().flatten() { (PreEscaped(row)) } }
                }
                @for ((severity, id, findings), shown) in checks.iter().zip(&rows) {
                    @if shown.len() < findings.len() {
                        @let listing = remedy::listing(report, id, severity.as_str());
                        (more(findings.len() - shown.len(), id, &listing))
                    }
                }
            }
        }
    }
}

fn row(finding: &Finding) -> Markup {
    html! {
        tr {
            td data-key=(rank(finding.severity)) { (badge(finding.severity)) }
            td { code { (name(&finding.check_id)) } }
            td { (name(&finding.source)) }
            th scope="row" { (name(&finding.subject)) }
            td { (evidence(&finding.evidence)) }
            td data-key=(finding.first_run) {
                (since(finding))
                @match finding.change {
                    Some(Change::Changed) => { " " b.change { "changed" } }
                    Some(Change::New) => { " " b.change { "new" } }
                    None => {}
                }
            }
        }
    }
}

/// The accepted findings, with the end of the acceptance and its note.
pub(super) fn accepted(report: &Report) -> Markup {
    let accepted = [report.accepted().collect::<Vec<_>>()];
    let rows = fitting(&accepted, MOST, SMALL_TABLE_BYTES, |finding| accepted_row(finding));
    html! {
        @for (findings, rows) in accepted.iter().zip(&rows).filter(|(all, _)| !all.is_empty()) {
            section aria-labelledby="accepted" {
                h2 #accepted { "Accepted " span.count { (count(findings.len())) } }
                table.cards.notes {
                    caption.sr { "Accepted findings, which count as open again once their time is over" }
                    thead { (columns(&["Severity", "Check", "Source", "Subject", "Accepted", "Note"])) }
                    tbody { @for row in rows { (PreEscaped(row)) } }
                }
                @if rows.len() < findings.len() {
                    @let listing = "SELECT * FROM scram.audit_finding WHERE status = 'accepted';";
                    (more(findings.len() - rows.len(), "accepted", listing))
                }
            }
        }
    }
}

fn accepted_row(finding: &Finding) -> Markup {
    html! {
        tr {
            td { (badge(finding.severity)) }
            td { code { (name(&finding.check_id)) } }
            td { (name(&finding.source)) }
            th scope="row" { (name(&finding.subject)) }
            td { (accepted_until(finding)) }
            td { (evidence(finding.note.as_deref().unwrap_or_default())) }
        }
    }
}

/// How many rows are left out, and the statement that lists them.
pub(super) fn more(rows: usize, what: &str, listing: &str) -> Markup {
    html! { p.more { "and " (count(rows)) " more " (name(what)) ": " code { (name(listing)) } } }
}

/// The numbers behind the first picture.
pub(super) fn runs(report: &Report) -> Markup {
    html! {
        @if report.history.len() > 1 {
            section aria-labelledby="runs" {
                h2 #runs { "Last runs" }
                div.scroll tabindex="0" {
                    table.runs {
                        caption.sr { "Findings that stood in the last runs, the newest first" }
                        thead { tr {
                            th.number scope="col" { "Run" }
                            th scope="col" { "Started" }
                            th scope="col" { "Status" }
                            th.number scope="col" { "Critical" }
                            th.number scope="col" { "Warning" }
                            th.number scope="col" { "Notice" }
                            th.number scope="col" { "Accepted" }
                        } }
                        tbody {
                            @for period in report.history.iter().rev() {
                                tr {
                                    th.number scope="row" { (period.run_id) }
                                    td { (moment(&period.started_at)) }
                                    td { (period.status) }
                                    @for severity in Severity::ALL {
                                        td.number { (number(period.findings.of(severity))) }
                                    }
                                    td.number { (number(period.findings.accepted)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The head row of a table.
pub(super) fn columns(names: &[&str]) -> Markup {
    html! { tr { @for name in names { th scope="col" { (name) } } } }
}

pub(super) fn badge(severity: Severity) -> Markup {
    html! { span.severity { (mark(severity)) (severity.as_str()) } }
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 0,
        Severity::Warning => 1,
        Severity::Notice => 2,
    }
}
