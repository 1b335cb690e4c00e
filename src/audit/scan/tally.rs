//! What a reading of a source found, in bounded memory.
//!
//! Findings on roles name one role each. The rows of a registered source are counted by check and kind of
//! secret; only critical findings name single rows, up to `scram.audit_rows_listed`. All lists keep the
//! smallest texts, so that neither the order of the rows nor the borders of slices change a finding.

use std::collections::{BTreeMap, BTreeSet};

use password_audit::{CHECKS, Severity, Subject, SubjectHit};

use super::row::{ScanRow, ScanSink};

/// Names that a counted finding shows.
const MAX_NAMES: usize = 20;

/// Different evidences that are kept for a counted finding: one more than it shows.
const MAX_EVIDENCES: usize = 5;

/// Pairs of kind and iteration count that are counted by themselves. Further counts are left out of the pair,
/// because each row could have its own.
const MAX_COUNTS: usize = 1000;

/// Place of a check in [`CHECKS`].
type CheckNo = usize;

/// What the rows or roles that were read have in common.
#[derive(Default)]
pub(super) struct Tally {
    /// How many rows a critical check lists by name; `None`: every check lists all.
    listed: Option<usize>,
    /// How many subjects were read.
    pub(super) subjects: i64,
    kinds: BTreeMap<(&'static str, Option<i32>), i64>,
    single: BTreeMap<CheckNo, BTreeMap<String, Single>>,
    counted: BTreeMap<(CheckNo, Severity, &'static str), Counted>,
}

struct Single {
    severity: Severity,
    kind: &'static str,
    evidence: String,
    context: String,
    rows: i64,
}

#[derive(Default)]
struct Counted {
    rows: i64,
    evidences: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Tally {
    /// For subjects that each have findings of their own.
    pub(super) fn of_roles() -> Self {
        Self::default()
    }

    /// For the rows of a registered source.
    pub(super) fn of_rows(listed: usize) -> Self {
        Self { listed: Some(listed), ..Self::default() }
    }

    /// Counts a subject.
    pub(super) fn add(&mut self, subject: &Subject, hits: Vec<SubjectHit>) {
        self.subjects += 1;
        let secret = subject.secret.as_ref();
        let kind = secret.map_or("none", |secret| secret.kind().as_str());
        let iterations = secret.and_then(|secret| secret.iterations());
        let is_new = !self.kinds.contains_key(&(kind, iterations));
        let iterations = iterations.filter(|_| !is_new || self.kinds.len() < MAX_COUNTS);
        *self.kinds.entry((kind, iterations)).or_default() += 1;
        for hit in hits {
            self.hit(&subject.name, kind, hit);
        }
    }

    fn hit(&mut self, name: &str, kind: &'static str, hit: SubjectHit) {
        let SubjectHit { check, severity, evidence, context } = hit;
        // SQL adds up the kinds: one finding for the source, with the counts.
        if self.listed.is_some() && check.id == "iterations_reveal_role" {
            return;
        }
        let number = CHECKS.iter().position(|known| known.id == check.id).unwrap_or(CHECKS.len());
        let limit = match self.listed {
            None => usize::MAX,
            Some(listed) if severity == Severity::Critical => listed,
            Some(_) => 0,
        };
        let single = self.single.entry(number).or_default();
        if let Some(known) = single.get_mut(name) {
            known.rows += 1;
            return;
        }
        let is_listed = single.len() < limit
            || single.last_key_value().is_some_and(|(last, _)| name < last.as_str());
        let row = Single { severity, kind, evidence, context, rows: 1 };
        if !is_listed {
            self.count(number, name, row);
            return;
        }
        single.insert(name.to_owned(), row);
        if single.len() > limit
            && let Some((last, row)) = single.pop_last()
        {
            self.count(number, &last, row);
        }
    }

    fn count(&mut self, check: CheckNo, name: &str, row: Single) {
        let counted = self.counted.entry((check, row.severity, row.kind)).or_default();
        counted.rows += row.rows;
        insert_smallest(&mut counted.evidences, &row.evidence, MAX_EVIDENCES);
        insert_smallest(&mut counted.names, name, MAX_NAMES);
    }

    /// Writes the findings and the kinds.
    pub(super) fn push(self, sink: &ScanSink) {
        for ((kind, iterations), rows) in self.kinds {
            let (kind, rows) = (Some(kind), Some(rows));
            ScanRow { part: "kind", kind, iterations, rows, ..ScanRow::default() }.push(sink);
        }
        for (number, rows) in self.single {
            for (name, row) in rows {
                let Single { severity, kind, evidence, context, rows } = row;
                ScanRow {
                    subject: Some(name),
                    kind: Some(kind),
                    rows: Some(rows),
                    evidences: Some(vec![evidence]),
                    context: Some(context),
                    ..finding(number, severity)
                }
                .push(sink);
            }
        }
        for ((number, severity, kind), counted) in self.counted {
            ScanRow {
                kind: Some(kind),
                rows: Some(counted.rows),
                evidences: Some(counted.evidences.into_iter().collect()),
                names: Some(counted.names.into_iter().collect()),
                ..finding(number, severity)
            }
            .push(sink);
        }
    }
}

fn finding(number: CheckNo, severity: Severity) -> ScanRow {
    ScanRow {
        part: "finding",
        check_id: CHECKS.get(number).map(|check| check.id),
        severity: Some(severity.as_str()),
        ..ScanRow::default()
    }
}

/// Keeps the `max` smallest texts. Copies only what it keeps, because most rows of a large source add nothing.
fn insert_smallest(texts: &mut BTreeSet<String>, text: &str, max: usize) {
    let is_beyond = texts.len() >= max && texts.last().is_some_and(|last| text > last.as_str());
    if is_beyond || texts.contains(text) {
        return;
    }
    texts.insert(text.to_owned());
    if texts.len() > max {
        texts.pop_last();
    }
}
