//! The report on one run of the audit, in four forms. Pure: what is reported comes in as a
//! [`Report`], and a `String` comes out.
//!
//! Every name in a report may have been chosen by somebody who wants to mislead its reader. So no
//! form shows a name as it is: `text` and `html` write what isn't printable as an escape, `json` and
//! `prometheus` as their grammars ask for, and `prometheus` leaves subjects out.
//!
//! What the extension writes of its own is ASCII in all of them, and `html` and `json` are so
//! throughout: they can be stored in any encoding.

mod html;
mod json;
mod model;
mod prometheus;
mod show;
mod text;

pub use model::{
    Cell, Change, Cluster, Counts, Finding, FixedFinding, HistoryEntry, Report, Run, Status,
    Timestamp,
};

/// What a report looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One page that needs nothing else.
    Html,
    /// For programs.
    Json,
    /// Prometheus' text exposition format.
    Prometheus,
    /// For a terminal or an e-mail, at most [`WIDTH`] columns.
    Text,
}

/// How many columns a text report has at most.
pub const WIDTH: usize = text::WIDTH;

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Text, Self::Json, Self::Html, Self::Prometheus];

    /// The format of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its name in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Json => "json",
            Self::Prometheus => "prometheus",
            Self::Text => "text",
        }
    }

    /// Writes the report.
    pub fn render(self, report: &Report) -> String {
        match self {
            Self::Html => html::render(report),
            Self::Json => json::render(report),
            Self::Prometheus => prometheus::render(report),
            Self::Text => text::render(report),
        }
    }
}
