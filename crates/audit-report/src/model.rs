//! The contents of a report. The names of the fields are part of the interface, because the JSON
//! form uses them.

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
    /// The last finished run before [`Report::run`]; `None` if there is none.
    pub compared_with: Option<Run>,
    /// Whether [`Report::run`] is the newest one.
    pub is_latest: bool,
    /// Open and accepted findings, by severity, then in the order of [`Report::checks`].
    pub findings: Vec<Finding>,
    /// Findings of [`Report::compared_with`] that [`Report::run`] no longer has.
    pub fixed: Vec<FixedFinding>,
    /// Every check, in the order of the report.
    pub checks: &'static [AuditCheck],
    /// `scram.min_iterations`, as it is now.
    pub min_iterations: i32,
    /// How many subjects have which stored secret, by source.
    pub census: Vec<Cell>,
    /// The last finished runs and this one, oldest first.
    pub history: Vec<HistoryEntry>,
}

impl Report {
    /// The check of a finding; `None` if this version does not know the check.
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

    /// The number of findings, open ones by severity.
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

    /// The open findings.
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

/// The numbers of a run for a monitoring system, with no name of a subject.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The version of the extension.
    pub version: String,
    /// When they were read.
    pub generated_at: Timestamp,
    /// Where.
    pub cluster: Cluster,
    /// The run that the numbers are of; `None` before the first one.
    pub run: Option<Run>,
    /// The last run that ended, with passwords left or not, and not later than [`Metrics::run`].
    pub last_finished: Option<Run>,
    /// The last run that left nothing, not later than [`Metrics::run`].
    pub last_success: Option<Run>,
    /// Whether there is an earlier finished run to compare with.
    pub is_compared: bool,
    /// The findings of the run, and those of the run before that no longer stand.
    pub findings: Vec<FindingCount>,
    /// How many subjects have which stored secret, by source.
    pub census: Vec<Cell>,
    /// The next VALID UNTIL of a role that may log in.
    pub next_expiry: Option<Timestamp>,
}

/// How many findings share all of this.
#[derive(Clone, Debug)]
pub struct FindingCount {
    /// See [`Finding::source`].
    pub source: String,
    /// The id of the check.
    pub check_id: String,
    /// How bad they are.
    pub severity: Severity,
    /// Whether they count; `None` if they are fixed.
    pub status: Option<Status>,
    /// Whether they are new since the finished run before.
    pub is_new: bool,
    /// How many.
    pub count: i64,
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
    /// When it ended; `None` if it is running or was interrupted.
    pub finished_at: Option<Timestamp>,
    /// How many roles and rows of sources the run examined.
    pub subjects: i64,
    /// Passwords that it tried.
    pub candidates_tested: i64,
    /// Passwords that the next run will try.
    pub candidates_left: i64,
    /// What `scram.audit_policy` hid, in words; `None` if nothing.
    pub hidden: Option<String>,
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

/// How a finding differs from the one in [`Report::compared_with`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It says something else.
    Changed,
    /// It was not there.
    New,
}

/// A finding, open or accepted.
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
    /// The evidence: the facts that the check found.
    pub evidence: String,
    /// Whether it counts or is accepted.
    pub status: Status,
    /// The first run that saw it.
    pub first_run: i64,
    /// When the first run began; `None` if that run was pruned.
    pub first_seen: Option<Timestamp>,
    /// How it differs from [`Report::compared_with`]; `None` if it does not.
    pub change: Option<Change>,
    /// The end of the acceptance; `None` if it has no end or the finding is open.
    pub accepted_until: Option<Timestamp>,
    /// The note of the acceptance.
    pub note: Option<String>,
}

/// A finding that [`Report::run`] no longer has.
#[derive(Clone, Debug, Serialize)]
pub struct FixedFinding {
    /// See [`Finding::source`].
    pub source: String,
    /// See [`Finding::subject`].
    pub subject: String,
    /// See [`Finding::check_id`].
    pub check_id: String,
    /// The severity in the run that had it.
    pub severity: Severity,
    /// The evidence in the run that had it.
    pub evidence: String,
}

/// A line of the census: how many subjects have this stored.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// See [`Finding::source`].
    pub source: String,
    /// The kind that `scram.identify()` returns; `none` if nothing is stored.
    pub kind: String,
    /// The iteration count, if the kind has one.
    pub iterations: Option<i32>,
    /// How many subjects have this kind and count.
    pub subjects: i64,
}

/// Numbers of findings in a run, by their severity in that run. A finding that is accepted today
/// counts as accepted.
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
    /// See [`Run::status`].
    pub status: String,
    /// The number of findings.
    #[serde(flatten)]
    pub findings: Counts,
}
