//! The tables of the page.

use maud::{Markup, html};

use super::{mark, moment, name};
use password_audit::Severity;

use crate::model::{Change, Finding, Report};
use crate::show::{accepted_until, number, since};

/// The remedies: a row for each check that has an open finding.
pub(super) fn remedies(report: &Report) -> Markup {
    let groups = report.by_check();
    html! {
        section aria-labelledby="to-do" {
            h2 #to-do { "What to do" }
            @if groups.is_empty() {
                p.empty {
                    "Nothing: none of the " (report.checks.len()) " checks has an open finding."
                }
            } @else {
                div.scroll {
                    table.remedies {
                        caption.sr { "Checks with open findings, the worst first" }
                        thead { tr {
                            th scope="col" { "Severity" }
                            th scope="col" { "Check" }
                            th.number scope="col" { "Findings" }
                            th scope="col" { "Remedy" }
                        } }
                        tbody {
                            @for (severity, id, findings) in &groups {
                                @let check = report.check(id);
                                tr {
                                    td { (badge(*severity)) }
                                    th scope="row" {
                                        @if let Some(check) = check { (check.title) br; }
                                        code { (name(id)) }
                                    }
                                    td.number { (number(i64::try_from(findings.len()).unwrap_or(i64::MAX))) }
                                    td { @if let Some(check) = check { (check.remedy) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Every open finding. The script makes it sortable.
pub(super) fn findings(report: &Report) -> Markup {
    let open = report.counts().open();
    html! {
        @if open > 0 {
            section aria-labelledby="findings" {
                h2 #findings { "Open findings " span.count { (number(open)) } }
                table #all.cards {
                    caption.sr { "Open findings, the worst first" }
                    thead { tr {
                        th scope="col" { "Severity" }
                        th scope="col" { "Check" }
                        th scope="col" { "Source" }
                        th scope="col" { "Subject" }
                        th scope="col" { "Evidence" }
                        th scope="col" { "Since" }
                    } }
                    tbody { @for finding in report.open() { (row(finding)) } }
                }
            }
        }
    }
}

/// Kept small: there may be ten thousand.
fn row(finding: &Finding) -> Markup {
    html! {
        tr {
            td data-key=(rank(finding.severity)) { (badge(finding.severity)) }
            td { code { (name(&finding.check_id)) } }
            td { (name(&finding.source)) }
            th scope="row" { (name(&finding.subject)) }
            td { (name(&finding.evidence)) }
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

/// The fixed findings.
pub(super) fn fixed(report: &Report) -> Markup {
    html! {
        @if let Some(before) = report.compared_with.as_ref().filter(|_| !report.fixed.is_empty()) {
            section aria-labelledby="fixed" {
                h2 #fixed { "Fixed since run " (before.run_id) " " span.count { (report.fixed.len()) } }
                table.cards {
                    caption.sr { "Findings of the run before that no longer stand" }
                    thead { tr {
                        th scope="col" { "Severity" }
                        th scope="col" { "Check" }
                        th scope="col" { "Source" }
                        th scope="col" { "Subject" }
                        th scope="col" { "It was" }
                    } }
                    tbody {
                        @for fixed in &report.fixed {
                            tr {
                                td { (badge(fixed.severity)) }
                                td { code { (name(&fixed.check_id)) } }
                                td { (name(&fixed.source)) }
                                th scope="row" { (name(&fixed.subject)) }
                                td { (name(&fixed.evidence)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The accepted findings, with the end of the acceptance and its note.
pub(super) fn accepted(report: &Report) -> Markup {
    html! {
        @if report.counts().accepted > 0 {
            section aria-labelledby="accepted" {
                h2 #accepted { "Accepted " span.count { (number(report.counts().accepted)) } }
                table.cards.notes {
                    caption.sr { "Accepted findings, which count as open again once their time is over" }
                    thead { tr {
                        th scope="col" { "Severity" }
                        th scope="col" { "Check" }
                        th scope="col" { "Source" }
                        th scope="col" { "Subject" }
                        th scope="col" { "Accepted" }
                        th scope="col" { "Note" }
                    } }
                    tbody {
                        @for finding in report.accepted() {
                            tr {
                                td { (badge(finding.severity)) }
                                td { code { (name(&finding.check_id)) } }
                                td { (name(&finding.source)) }
                                th scope="row" { (name(&finding.subject)) }
                                td { (accepted_until(finding)) }
                                td { (name(finding.note.as_deref().unwrap_or_default())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The numbers behind the first picture.
pub(super) fn runs(report: &Report) -> Markup {
    html! {
        @if report.history.len() > 1 {
            section aria-labelledby="runs" {
                h2 #runs { "Last runs" }
                div.scroll {
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

fn badge(severity: Severity) -> Markup {
    html! { span.severity { (mark(severity)) (severity.as_str()) } }
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 0,
        Severity::Warning => 1,
        Severity::Notice => 2,
    }
}
