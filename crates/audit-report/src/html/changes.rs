//! What has changed since the run before, at the top of the page.

use maud::{Markup, PreEscaped, html};

use super::listed::{SMALL_TABLE_BYTES, fitting};
use super::tables::{badge, columns, more};
use super::{count, evidence, name};
use password_audit::Severity;

use crate::model::{Change, Report};

/// How many of the new, of the changed and of the fixed findings are shown, so that the rest of the
/// page is not far below.
const SHOWN: usize = 10;

/// A finding that differs between the two runs.
struct Changed<'a> {
    what: &'static str,
    severity: Severity,
    check_id: &'a str,
    source: &'a str,
    subject: &'a str,
    evidence: &'a str,
}

/// New, changed and fixed findings, the worst of each first.
pub(super) fn changes(report: &Report) -> Markup {
    let Some(before) = &report.compared_with else { return html! {} };
    let groups = [
        standing(report, Change::New, "new"),
        standing(report, Change::Changed, "changed"),
        fixed(report),
    ];
    let rows = fitting(&groups, SHOWN, SMALL_TABLE_BYTES, row);
    let total: usize = groups.iter().map(Vec::len).sum();
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "Changes since run " (before.run_id) " " span.count { (count(total)) } }
            @if total == 0 {
                p.empty { "None: the findings are those of run " (before.run_id) "." }
            } @else {
                table.cards.changes {
                    caption.sr { "New, changed and fixed findings, the worst of each first" }
                    thead { (columns(&["Severity", "Check", "Source", "Subject", "Evidence", "Change"])) }
                    tbody { @for row in rows.iter().flatten() { (PreEscaped(row)) } }
                }
                @for (group, shown) in groups.iter().zip(&rows) {
                    @if let Some(first) = group.get(shown.len()) {
                        @let listing = format!(
                            "SELECT * FROM scram.audit_diff({}, {}) WHERE change = '{}';",
                            before.run_id, report.run.run_id, first.what
                        );
                        (more(group.len() - shown.len(), first.what, &listing))
                    }
                }
            }
        }
    }
}

fn standing<'a>(report: &'a Report, change: Change, what: &'static str) -> Vec<Changed<'a>> {
    let findings = report.open().filter(|finding| finding.change == Some(change));
    let changed = findings.map(|finding| Changed {
        what,
        severity: finding.severity,
        check_id: &finding.check_id,
        source: &finding.source,
        subject: &finding.subject,
        evidence: &finding.evidence,
    });
    changed.collect()
}

fn fixed(report: &Report) -> Vec<Changed<'_>> {
    let changed = report.fixed.iter().map(|fixed| Changed {
        what: "fixed",
        severity: fixed.severity,
        check_id: &fixed.check_id,
        source: &fixed.source,
        subject: &fixed.subject,
        evidence: &fixed.evidence,
    });
    changed.collect()
}

fn row(changed: &Changed<'_>) -> Markup {
    html! {
        tr {
            td { (badge(changed.severity)) }
            td { code { (name(changed.check_id)) } }
            td { (name(changed.source)) }
            th scope="row" { (name(changed.subject)) }
            td { (evidence(changed.evidence)) }
            td { b.change.(changed.what) { (changed.what) } }
        }
    }
}
