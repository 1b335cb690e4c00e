//! The report on one run of the audit, in four forms. The crate does no I/O: a [`Report`] comes in, or
//! [`Metrics`] for the form that has numbers only, and a `String` comes out.
//!
//! `text` and `html` are for people, so their size is bounded: of many findings they show the worst and
//! the statement that lists the others. `json` has all.
//!
//! An attacker may have chosen any name in a report to mislead its reader. So no form shows a name
//! unescaped: `text` and `html` escape unprintable characters, `json` and `prometheus` escape as
//! their grammars ask for. `prometheus` leaves subjects out.
//!
//! The fixed texts of all four forms are ASCII. `html` and `json` are ASCII throughout, so that
//! they can be stored in any encoding.

mod fleet;
mod html;
mod json;
mod model;
mod prometheus;
mod remedy;
mod show;
mod text;

pub use fleet::{Fleet, FleetCheck, FleetFinding, FleetFormat, FleetServer, SharedSecret};
pub use model::{
    Cell, Change, Cluster, Counts, Finding, FindingCount, FixedFinding, HistoryEntry, Metrics,
    Report, Run, Status, Timestamp,
};

/// Writes metrics in Prometheus' text exposition format.
pub fn metrics(metrics: &Metrics) -> String {
    prometheus::render(metrics)
}

/// The format of a report for people or programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One self-contained page.
    Html,
    /// For programs.
    Json,
    /// For a terminal or an e-mail, at most [`WIDTH`] columns.
    Text,
}

/// How many columns a text report has at most.
pub const WIDTH: usize = text::WIDTH;

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Json, Self::Html];

    /// The format of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its name in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Json => "json",
            Self::Text => "text",
        }
    }

    /// Writes the report.
    pub fn render(self, report: &Report) -> String {
        match self {
            Self::Html => html::render(report),
            Self::Json => json::render(report),
            Self::Text => text::render(report),
        }
    }
}
