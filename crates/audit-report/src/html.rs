//! `html`: one self-contained page. It sends no request, because its content security policy allows
//! only its own style and script.

mod about;
mod changes;
mod charts;
mod fleet;
mod listed;
mod tables;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use password_audit::Severity;

use crate::model::{Change, Counts, Report, Timestamp};
use crate::show::{counted, cut, day, duration, number, time, visible};
use crate::text::unfinished;

pub(crate) use fleet::render as render_fleet;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

pub(crate) fn render(report: &Report) -> String {
    let title = html! {
        "Password audit of " (visible(&report.cluster.database)) ", run " (report.run.run_id)
    };
    let body = html! {
        (head(report))
        main {
            (tiles(report))
            (changes::changes(report))
            div.pictures { (charts::history(report)) (charts::stored(report)) }
            (tables::remedies(report))
            (tables::findings(report))
            (tables::accepted(report))
            (tables::runs(report))
        }
        (foot(report))
    };
    shell(&title, &body)
}

/// The page around a body, which may use the style and the script and load nothing.
fn shell(title: &Markup, body: &Markup) -> String {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    ascii(&page.into_string())
}

fn head(report: &Report) -> Markup {
    let (run, cluster) = (&report.run, &report.cluster);
    html! {
        header {
            p.eyebrow { "scram_ext" }
            h1 { "Password audit of " (name(&cluster.database)) }
            p.verdict { (verdict(report)) }
            dl.facts {
                @if !cluster.name.is_empty() { div { dt { "Cluster" } dd { (name(&cluster.name)) } } }
                div { dt { "Run" } dd { (run.run_id) ", " span.status.(run.status) { (run.status) } } }
                div { dt { "Started" } dd { (moment(&run.started_at)) } }
                @if let Some(seconds) = run.duration() { div { dt { "Took" } dd { (duration(seconds)) } } }
                div { dt { "Looked at" } dd { (counted(run.subjects, "subject", "subjects")) } }
                div { dt { "Passwords tried" } dd {
                    (number(run.candidates_tested))
                    @if run.candidates_left > 0 { ", " (number(run.candidates_left)) " left" }
                } }
            }
            @if let Some(remark) = unfinished(&run.status) { p.remark { (remark) } }
            @if let Some(hidden) = &run.hidden { p.remark { "Policy hides " (visible(hidden)) "." } }
        }
    }
}

/// The page in one sentence.
fn verdict(report: &Report) -> String {
    let counts = report.counts();
    let what = match (counts.critical, counts.open()) {
        (0, 0) if matches!(report.run.status.as_str(), "interrupted" | "running") => {
            return "Nothing was found so far.".to_owned();
        }
        (0, 0) if counts.accepted == 0 => return "Nothing was found.".to_owned(),
        (0, 0) => return "Nothing is open: what was found is accepted.".to_owned(),
        (0, open) => format!("{}, none critical", counted(open, "open finding", "open findings")),
        (critical, open) => {
            format!(
                "{}, {} critical",
                counted(open, "open finding", "open findings"),
                number(critical)
            )
        }
    };
    match &report.compared_with {
        Some(before) => {
            format!("{what}; {} new since run {}.", count(report.count(Change::New)), before.run_id)
        }
        None => format!("{what}."),
    }
}

fn tiles(report: &Report) -> Markup {
    let new = |severity| {
        report
            .open()
            .filter(|finding| finding.severity == severity && finding.change == Some(Change::New))
            .count()
    };
    let note = |severity| {
        html! { @if report.compared_with.is_some() { (count(new(severity))) " new" } }
    };
    let fixed = html! {
        @if let Some(before) = &report.compared_with {
            div.tile.fixed {
                span.figure { (count(report.fixed.len())) }
                span.label { "fixed" }
                span.note { "since run " (before.run_id) ", " (day(&before.started_at)) }
            }
        }
    };
    summary(&report.counts(), note, &fixed)
}

/// The numbers at the top of a page: one for each severity, with a note below it, the accepted findings, and `more`.
fn summary(counts: &Counts, note: impl Fn(Severity) -> Markup, more: &Markup) -> Markup {
    html! {
        section.tiles aria-label="Summary" {
            @for severity in Severity::ALL {
                div class={ "tile " (severity.as_str()) } data-zero[counts.of(severity) == 0] {
                    span.figure { (number(counts.of(severity))) }
                    span.label { (mark(severity)) (severity.as_str()) }
                    span.note { (note(severity)) }
                }
            }
            div.tile.accepted {
                span.figure { (number(counts.accepted)) }
                span.label { "accepted" }
                span.note { "not counted" }
            }
            (more)
        }
    }
}

fn foot(report: &Report) -> Markup {
    html! {
        footer {
            p {
                "Made by scram_ext " (report.version) " on PostgreSQL " (visible(&report.cluster.server_version))
                " at " (moment(&report.generated_at)) ". "
                "Times are in UTC. The page names roles and their weaknesses, but holds no password, hash or key: keep it to those who may know."
            }
        }
    }
}

/// A severity's sign, told apart by its shape.
fn mark(severity: Severity) -> Markup {
    html! { span class={ "mark " (severity.as_str()) } aria-hidden="true" {} }
}

/// Characters of a name, and of a text that is longer than names are.
const NAME_CHARACTERS: usize = 200;
const TEXT_CHARACTERS: usize = 400;

/// A name from a catalog. Unprintable characters are escaped, and right-to-left text cannot change
/// the direction of the text around it.
fn name(text: &str) -> Markup {
    shown(text, NAME_CHARACTERS)
}

/// The findings of a check, or a note.
fn evidence(text: &str) -> Markup {
    shown(text, TEXT_CHARACTERS)
}

fn shown(text: &str, characters: usize) -> Markup {
    // First to a length, because a text may be long and an escape is longer than its character.
    let text = cut(&visible(&cut(text, characters)), characters);
    // ASCII names do without the element, because tens of thousands of them slow a browser down.
    html! { @if text.is_ascii() { (text) } @else { bdi { (text) } } }
}

fn moment(moment: &Timestamp) -> Markup {
    html! { time datetime=(moment.utc) { (time(moment)) } }
}

fn count(count: usize) -> String {
    number(i64::try_from(count).unwrap_or(i64::MAX))
}

fn digest(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// Replaces characters outside ASCII by character references. The style and the script are ASCII
/// already; a reference would not work in them.
fn ascii(page: &str) -> String {
    let mut escaped = String::with_capacity(page.len());
    for character in page.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            escaped.push_str(&format!("&#{};", u32::from(character)));
        }
    }
    escaped
}
