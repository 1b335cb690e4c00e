//! The report on one run of the audit, in four forms. The crate is pure: it turns a [`Report`] into
//! a `String`.
//!
//! Users choose the names in a report and may want to mislead its reader. So no form prints a name
//! unchanged: `text` and `html` escape unprintable characters, `json` and `prometheus` escape as
//! their grammars ask, and `prometheus` leaves subjects out.
//!
//! The extension's own words are ASCII in all forms, and `html` and `json` are ASCII as a whole, so
//! that a database of any encoding can store them.

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

/// The form of a report.
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
