//! The charts of the page, as inline SVG. Text and tables of the page have the same numbers.

use maud::{Markup, html};

use super::name;
use password_audit::Severity;

use crate::model::{Cell, Counts, HistoryEntry, Report};
use crate::show::{counted, day, number, stored as words};

/// Lengths of the pictures, in units of their view box.
const WIDTH: f64 = 480.0;
const PLOT_HEIGHT: f64 = 170.0;
const TOP: f64 = 12.0;

/// How many sources are shown; the others are counted.
const SHOWN_SOURCES: usize = 6;

/// How many kinds the second picture has; the rest is counted in its last line.
const SHOWN_KINDS: usize = 8;

/// Findings by severity over the last runs, stacked, the worst at the bottom.
pub(super) fn history(report: &Report) -> Markup {
    let periods = &report.history;
    let highest = periods.iter().map(|period| total(&period.findings)).max().unwrap_or_default();
    let step = step(highest);
    let top = ((highest + step - 1) / step).max(1) * step;
    let scale = PLOT_HEIGHT / float(top);
    // Room for the longest number on the axis.
    let left = 14.0 + 8.5 * float(i64::try_from(number(top).len()).unwrap_or_default());
    let slot = (WIDTH - left) / float(i64::try_from(periods.len()).unwrap_or(1).max(1));
    let width = (slot * 0.72).min(44.0);
    let base = TOP + PLOT_HEIGHT;
    html! {
        figure {
            figcaption { "Findings over the last runs" }
            svg role="img" aria-label=(spoken(periods)) viewBox=(format!("0 0 {WIDTH} {}", base + 28.0)) {
                defs {
                    pattern #hatch width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                        line x1="0" y1="0" x2="0" y2="6" class="ink" stroke-width="2.4" {}
                    }
                    pattern #dots width="6" height="6" patternUnits="userSpaceOnUse" {
                        circle cx="3" cy="3" r="1.2" class="dot" {}
                    }
                }
                @for tick in (0..=top / step).map(|tick| tick * step) {
                    @let y = base - float(tick) * scale;
                    line.grid x1=(left) x2=(WIDTH) y1=(round(y)) y2=(round(y)) {}
                    text.axis.end x=(left - 8.0) y=(round(y + 4.0)) { (number(tick)) }
                }
                @for (at, period) in (0_i64..).zip(periods) {
                    @let x = left + slot * (float(at) + 0.5) - width / 2.0;
                    g.bar {
                        title { (told(period)) }
                        @for (class, from, count) in stack(&period.findings) {
                            @let (y, height) = (base - float(from + count) * scale, float(count) * scale);
                            rect class=(class) x=(round(x)) y=(round(y)) width=(round(width)) height=(round(height)) {}
                            @if let Some(pattern) = pattern(class) {
                                rect fill=(pattern) x=(round(x)) y=(round(y)) width=(round(width)) height=(round(height)) {}
                            }
                        }
                    }
                }
                @if let Some(first) = periods.first() {
                    text.axis x=(left) y=(base + 20.0) { (day(&first.started_at)) }
                }
                @if let Some(last) = periods.last().filter(|_| periods.len() > 1) {
                    text.axis.end x=(WIDTH) y=(base + 20.0) { (day(&last.started_at)) }
                }
            }
            ul.legend {
                @for (class, label) in LEGEND {
                    li {
                        svg.swatch viewBox="0 0 14 14" aria-hidden="true" {
                            rect class=(class) width="14" height="14" {}
                            @if let Some(pattern) = pattern(class) { rect fill=(pattern) width="14" height="14" {} }
                        }
                        (label)
                    }
                }
            }
        }
    }
}

/// A chart for each source, the roles first: how many subjects have which kind of secret.
pub(super) fn stored(report: &Report) -> Markup {
    let sources = report.sources();
    let (shown, rest) = sources.split_at(sources.len().min(SHOWN_SOURCES));
    html! {
        @if shown.is_empty() {
            figure { figcaption { "What is stored" } p.empty { "No run has counted it yet." } }
        }
        @for source in shown { (stored_in(report, source)) }
        @if !rest.is_empty() { p.more { "and " (counted(rest.len() as i64, "more source", "more sources")) } }
    }
}

/// A bar for each kind and iteration count of a source.
fn stored_in(report: &Report, source: &str) -> Markup {
    let mut cells: Vec<_> = report.census.iter().filter(|cell| cell.source == source).collect();
    cells.sort_by_key(|cell| std::cmp::Reverse(cell.subjects));
    let (shown, rest) = cells.split_at(cells.len().min(SHOWN_KINDS));
    // By strength, once the most frequent ones are chosen.
    let mut shown = shown.to_vec();
    shown.sort_by(|a, b| (&a.kind, a.iterations).cmp(&(&b.kind, b.iterations)));
    let most = shown.iter().map(|cell| cell.subjects).max().unwrap_or(1).max(1);
    html! {
        figure {
            figcaption {
                @if source == "role" { "What is stored for the roles" }
                @else { "What is stored in " (name(source)) }
            }
                ul.bars {
                    @for cell in &shown {
                        @let length = (float(cell.subjects) / float(most) * 100.0).max(1.0);
                        li {
                            span.kind { (words(&cell.kind, cell.iterations)) }
                            svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                                rect class=(weight(cell, report.min_iterations)) width=(round(length)) height="10" {}
                            }
                            span.number { (number(cell.subjects)) }
                        }
                    }
                }
                @if !rest.is_empty() {
                    @let subjects = rest.iter().map(|cell| cell.subjects).sum();
                    p.more { "and " (rest.len()) " more, of " (counted(subjects, "subject", "subjects")) " together" }
                }
        }
    }
}

const LEGEND: [(&str, &str); 4] = [
    ("critical", "critical"),
    ("warning", "warning"),
    ("notice", "notice"),
    ("accepted", "accepted today"),
];

/// From the bottom: class, where it begins, how high it is.
fn stack(findings: &Counts) -> impl Iterator<Item = (&'static str, i64, i64)> {
    let counts = Severity::ALL.map(|severity| (severity.as_str(), findings.of(severity)));
    let mut from = 0;
    counts.into_iter().chain([("accepted", findings.accepted)]).filter_map(move |(class, count)| {
        let start = from;
        from += count;
        (count > 0).then_some((class, start, count))
    })
}

/// So that the parts differ without colour.
fn pattern(class: &str) -> Option<&'static str> {
    match class {
        "warning" => Some("url(#hatch)"),
        "notice" => Some("url(#dots)"),
        _ => None,
    }
}

/// How a bar of the second picture is coloured.
fn weight(cell: &Cell, min_iterations: i32) -> &'static str {
    match (cell.kind.as_str(), cell.iterations) {
        ("scram-sha-256" | "scram-sha-512", Some(count)) if count < min_iterations => "warning",
        ("scram-sha-256" | "scram-sha-512", _) => "good",
        ("none", _) => "accepted",
        ("scram-lax" | "scram-sha-1", _) => "warning",
        ("md5" | "md5crypt" | "scram-malformed" | "unknown", _) => "critical",
        // The hash of another system has no rating here.
        _ => "notice",
    }
}

fn told(period: &HistoryEntry) -> String {
    let found = &period.findings;
    format!(
        "run {}, {}: {} critical, {} warning, {} notice, {} accepted",
        period.run_id,
        day(&period.started_at),
        found.critical,
        found.warning,
        found.notice,
        found.accepted
    )
}

fn spoken(periods: &[HistoryEntry]) -> String {
    match (periods.first(), periods.last()) {
        (Some(first), Some(last)) if periods.len() > 1 => format!(
            "Findings that stood in the last {} runs. First {}. Last {}. The table of last runs has the numbers.",
            periods.len(),
            told(first),
            told(last)
        ),
        (Some(only), _) => format!("Findings that stood in {}.", told(only)),
        _ => "No run.".to_owned(),
    }
}

fn total(findings: &Counts) -> i64 {
    findings.open() + findings.accepted
}

/// 1, 2 or 5 times a power of ten, so that there are at most five lines.
fn step(highest: i64) -> i64 {
    let mut power = 1_i64;
    loop {
        for step in [1, 2, 5].map(|digit| digit * power) {
            if highest <= step.saturating_mul(5) || step > i64::MAX / 50 {
                return step;
            }
        }
        power *= 10;
    }
}

/// To a tenth: short, and finer than a pixel.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "for the length of a bar")]
fn float(count: i64) -> f64 {
    count as f64
}
