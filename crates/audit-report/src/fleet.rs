//! The contents of a report on a fleet: the numbers of each server, and the worst of its findings.

use password_audit::{AuditCheck, Severity};

use crate::model::{Cluster, Counts, Timestamp};
use crate::show::{name, number};

/// All that is known of a fleet.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The version of the extension.
    pub version: String,
    /// When the report was made.
    pub generated_at: Timestamp,
    /// The server that collected it.
    pub collector: Cluster,
    /// The servers, in any order.
    pub servers: Vec<FleetServer>,
    /// Open findings by check and severity; unknown checks are `other`.
    pub checks: Vec<FleetCheck>,
    /// The first open critical findings, in the order of the report.
    pub critical: Vec<FleetFinding>,
    /// The first stored secrets that clusters share, in the order of the report.
    pub shared: Vec<SharedSecret>,
    /// How many stored secrets clusters share.
    pub shared_secrets: i64,
    /// The checks with their meaning.
    pub known_checks: &'static [AuditCheck],
}

/// A server of the fleet.
#[derive(Clone, Debug)]
pub struct FleetServer {
    /// The name of the foreign server.
    pub name: String,
    /// When it last sent an answer; `None` if it never has.
    pub last_seen: Option<Timestamp>,
    /// Why the last refresh had no answer, or another remark.
    pub error: Option<String>,
    /// When its last run began; `None` if it has none.
    pub last_run: Option<Timestamp>,
    /// The status of its last run; empty if it has none.
    pub status: String,
    /// Its findings.
    pub findings: Counts,
    /// Findings that its answer had no room for.
    pub left_out: i64,
}

/// How many open findings of a check the fleet has.
#[derive(Clone, Debug)]
pub struct FleetCheck {
    /// The id of the check.
    pub check_id: String,
    /// How bad they are.
    pub severity: Severity,
    /// How many findings.
    pub findings: i64,
    /// On how many servers.
    pub servers: i64,
}

/// An open critical finding.
#[derive(Clone, Debug)]
pub struct FleetFinding {
    /// The name of the foreign server.
    pub server: String,
    /// See [`crate::Finding::source`].
    pub source: String,
    /// See [`crate::Finding::subject`].
    pub subject: String,
    /// The id of the check.
    pub check_id: String,
    /// The evidence.
    pub evidence: String,
}

/// A stored secret that more than one cluster has.
#[derive(Clone, Debug)]
pub struct SharedSecret {
    /// The kind of secret, such as `scram-sha-256`.
    pub kind: String,
    /// How many clusters have it.
    pub clusters: i64,
    /// The first of its roles, each as `server/role`.
    pub members: Vec<String>,
    /// How many roles have it.
    pub roles: i64,
}

impl SharedSecret {
    /// Its roles in words.
    pub(crate) fn shown_members(&self) -> String {
        let named = self.members.iter().map(|member| name(member)).collect::<Vec<_>>().join(", ");
        let left = self.roles - self.members.len() as i64;
        if left > 0 { format!("{named} and {} more", number(left)) } else { named }
    }
}

/// The format of a report on a fleet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FleetFormat {
    /// One self-contained page.
    Html,
    /// Numbers only.
    Prometheus,
    /// For a terminal or an e-mail.
    Text,
}

impl FleetFormat {
    /// The format of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "html" => Some(Self::Html),
            "prometheus" => Some(Self::Prometheus),
            "text" => Some(Self::Text),
            _ => None,
        }
    }

    /// Writes the report.
    pub fn render(self, fleet: &Fleet) -> String {
        match self {
            Self::Html => crate::html::render_fleet(fleet),
            Self::Prometheus => crate::prometheus::render_fleet(fleet),
            Self::Text => crate::text::render_fleet(fleet),
        }
    }
}

impl FleetServer {
    /// Whether its findings are those of a run that the last refresh knows of.
    pub(crate) fn is_up(&self) -> bool {
        self.error.is_none() && self.last_seen.is_some() && self.last_run.is_some()
    }

    /// The status of its last run, or that there is none.
    pub(crate) fn shown_status(&self) -> &str {
        if self.last_run.is_some() { &self.status } else { "no data" }
    }
}

impl Fleet {
    /// The number of findings of all servers.
    pub fn counts(&self) -> Counts {
        self.servers.iter().fold(Counts::default(), |sum, server| Counts {
            critical: sum.critical + server.findings.critical,
            warning: sum.warning + server.findings.warning,
            notice: sum.notice + server.findings.notice,
            accepted: sum.accepted + server.findings.accepted,
        })
    }

    /// Servers with an error, by name.
    pub fn failed(&self) -> Vec<&FleetServer> {
        let mut failed: Vec<_> =
            self.servers.iter().filter(|server| server.error.is_some()).collect();
        failed.sort_by(|a, b| a.name.cmp(&b.name));
        failed
    }

    /// All servers, those with the worst findings first.
    pub fn worst_first(&self) -> Vec<&FleetServer> {
        let mut servers: Vec<_> = self.servers.iter().collect();
        servers.sort_by(|a, b| {
            let order = |one: &FleetServer| {
                (one.findings.critical, one.findings.warning, one.findings.notice)
            };
            order(b).cmp(&order(a)).then_with(|| a.name.cmp(&b.name))
        });
        servers
    }

    /// The meaning of a check; empty for a check that this version does not know.
    pub(crate) fn title(&self, id: &str) -> &'static str {
        self.known_checks.iter().find(|check| check.id == id).map_or("", |check| check.title)
    }
}
