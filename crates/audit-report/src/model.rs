//! The contents of a report. The field names are those of its JSON form, which is part of the
//! interface.

use password_audit::{AuditCheck, Severity};
use serde::Serialize;

/// All that is known of one run of the audit.
#[derive(Clone, Debug)]
pub struct Report {
    /// The version of the extension.
    pub version: String,
    /// When the report was made.
    pub generated_at: Timestamp,
    /// Where.
    pub cluster: Cluster,
    /// The run that the report is about.
    pub run: Run,
    /// The last finished run before it; `None` if there is none.
    pub compared_with: Option<Run>,
    /// The last finished run, not later than [`Report::run`].
    pub last_finished: Option<Run>,
    /// The standing findings, by severity, then in the order of [`Report::checks`].
    pub findings: Vec<Finding>,
    /// The findings of [`Report::compared_with`] that are fixed.
    pub fixed: Vec<FixedFinding>,
    /// Every check that there is, in order.
    pub checks: &'static [AuditCheck],
    /// `scram.min_iterations`, as it is now.
    pub min_iterations: i32,
    /// Counts of stored secrets, source by source.
    pub census: Vec<Cell>,
    /// The last finished runs and this one, oldest first.
    pub history: Vec<HistoryEntry>,
}

impl Report {
    /// The check of a finding; one that this version doesn't know has neither title nor remedy.
    pub fn check(&self, id: &str) -> Option<&'static AuditCheck> {
        self.checks.iter().find(|check| check.id == id)
    }

    /// The sources of the census, the roles first.
    pub fn sources(&self) -> Vec<&str> {
        let mut sources: Vec<_> = self.census.iter().map(|cell| cell.source.as_str()).collect();
        sources.dedup();
        sources.sort_by_key(|source| *source != "role");
        sources
    }

    /// How many findings stand.
    pub fn counts(&self) -> Counts {
        self.findings.iter().fold(Counts::default(), |mut counts, finding| {
            match (finding.status, finding.severity) {
                (Status::Accepted, _) => counts.accepted += 1,
                (Status::Open, Severity::Critical) => counts.critical += 1,
                (Status::Open, Severity::Notice) => counts.notice += 1,
                (Status::Open, Severity::Warning) => counts.warning += 1,
            }
            counts
        })
    }

    /// The standing findings that are not accepted.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.status == Status::Open)
    }

    /// The accepted findings.
    pub fn accepted(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.status == Status::Accepted)
    }

    /// The open findings of each check that has some, in the order of the report.
    pub fn by_check(&self) -> Vec<(Severity, &str, Vec<&Finding>)> {
        let mut groups: Vec<(Severity, &str, Vec<&Finding>)> = Vec::new();
        for finding in self.open() {
            match groups.last_mut() {
                Some((severity, id, group))
                    if *severity == finding.severity && *id == finding.check_id =>
                {
                    group.push(finding);
                }
                _ => groups.push((finding.severity, &finding.check_id, vec![finding])),
            }
        }
        groups
    }

    /// How many findings, open or accepted, are new or changed since [`Report::compared_with`].
    pub fn count(&self, change: Change) -> usize {
        self.findings.iter().filter(|finding| finding.change == Some(change)).count()
    }
}

/// A point in time.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Timestamp {
    /// In UTC: `2026-11-22T03:17:04Z`.
    pub utc: String,
    /// In seconds since 1970.
    #[serde(skip)]
    pub unix: f64,
}

/// The server and the database that hold the run.
#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    /// `cluster_name`; may be empty.
    pub name: String,
    /// The database.
    pub database: String,
    /// The version of PostgreSQL.
    pub server_version: String,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its number.
    pub run_id: i64,
    /// `running`, `done`, `partial` or `interrupted`.
    pub status: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; not for one that was interrupted.
    pub finished_at: Option<Timestamp>,
    /// Roles and rows of sources that it looked at.
    pub subjects: i64,
    /// Passwords that it tried.
    pub candidates_tested: i64,
    /// Passwords that the next one goes on with.
    pub candidates_left: i64,
}

impl Run {
    /// In seconds.
    pub fn duration(&self) -> Option<f64> {
        self.finished_at.as_ref().map(|end| (end.unix - self.started_at.unix).max(0.0))
    }
}

/// Whether a finding counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted, as of now.
    Accepted,
    /// It counts.
    Open,
}

impl Status {
    /// Its name in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Open => "open",
        }
    }
}

/// How a finding differs from what the run before had.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It says something else.
    Changed,
    /// It was not there.
    New,
}

/// Something that stands.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// For `scram.accept_finding`.
    pub finding_id: i64,
    /// `role`, `server`, or the name of a registered source.
    pub source: String,
    /// Name of the role, row, setting or rule.
    pub subject: String,
    /// The id of the check.
    pub check_id: String,
    /// How bad it is.
    pub severity: Severity,
    /// The evidence, without key material.
    pub evidence: String,
    /// Whether it counts.
    pub status: Status,
    /// The first run that saw it.
    pub first_run: i64,
    /// When that run began; not where it was pruned.
    pub first_seen: Option<Timestamp>,
    /// Against the run before.
    pub change: Option<Change>,
    /// Until when it is accepted; `None`, for ever.
    pub accepted_until: Option<Timestamp>,
    /// Why it is accepted.
    pub note: Option<String>,
}

/// Something that no longer stands.
#[derive(Clone, Debug, Serialize)]
pub struct FixedFinding {
    /// The source, see [`Finding`].
    pub source: String,
    /// The subject, see [`Finding`].
    pub subject: String,
    /// The id of the check, see [`Finding`].
    pub check_id: String,
    /// The last severity.
    pub severity: Severity,
    /// The last evidence.
    pub evidence: String,
}

/// A line of the census: how many subjects have this stored.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The source, see [`Finding`].
    pub source: String,
    /// The label of `scram.identify()`; `none` where nothing is stored.
    pub kind: String,
    /// Where the kind has a count.
    pub iterations: Option<i32>,
    /// How many.
    pub subjects: i64,
}

/// Findings that stood in a run, by severity as it was then. Accepted are those that are so today.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Open and critical.
    pub critical: i64,
    /// Open warnings.
    pub warning: i64,
    /// Open notices.
    pub notice: i64,
    /// Accepted, of any severity.
    pub accepted: i64,
}

impl Counts {
    /// The number of open findings.
    pub fn open(&self) -> i64 {
        self.critical + self.warning + self.notice
    }

    /// The number of open findings of one severity.
    pub fn of(&self, severity: Severity) -> i64 {
        match severity {
            Severity::Critical => self.critical,
            Severity::Warning => self.warning,
            Severity::Notice => self.notice,
        }
    }
}

/// A run in the history.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryEntry {
    /// Its number.
    pub run_id: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// The status, see [`Run`].
    pub status: String,
    /// The standing findings, counted.
    #[serde(flatten)]
    pub findings: Counts,
}
