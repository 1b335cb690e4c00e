//! The rows of `scram_internal.scan_row`, which sql/schema/bootstrap.sql explains.

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::pg::row_set::Sink;
use crate::pg::text::Utf8;

/// How many columns the type has.
pub(super) const COLUMNS: usize = 22;

/// How many columns the type had in 0.1.0: all but the arrays.
pub(super) const FIRST_COLUMNS: usize = 18;

/// Where rows go.
pub(super) type ScanSink = Sink<COLUMNS>;

/// A row, in the order of the type's columns.
#[derive(Default)]
pub(super) struct ScanRow {
    pub(super) part: &'static str,
    pub(super) subject: Option<String>,
    pub(super) check_id: Option<&'static str>,
    pub(super) severity: Option<&'static str>,
    pub(super) kind: Option<&'static str>,
    pub(super) rows: Option<i64>,
    pub(super) evidences: Option<Vec<String>>,
    pub(super) names: Option<Vec<String>>,
    pub(super) context: Option<String>,
    pub(super) iterations: Option<i32>,
    pub(super) digest: Option<i64>,
    pub(super) salt_tag: Option<i64>,
    pub(super) verifier_tag: Option<i64>,
    pub(super) by_name: Option<i16>,
    pub(super) role: Option<pg_sys::Oid>,
    pub(super) relation: Option<pg_sys::Oid>,
    pub(super) block: Option<i64>,
    pub(super) fingerprint: Option<Vec<u8>>,
    pub(super) digests: Option<Vec<i64>>,
    pub(super) salt_tags: Option<Vec<Option<i64>>>,
    pub(super) verifier_tags: Option<Vec<Option<i64>>>,
    pub(super) by_names: Option<Vec<i16>>,
}

impl ScanRow {
    /// Adds the row to the result, which copies it.
    pub(super) fn push(self, sink: &ScanSink) {
        let texts = |texts: Option<Vec<String>>| {
            texts.map(|texts| texts.into_iter().map(Utf8).collect::<Vec<_>>()).into_datum()
        };
        sink.push([
            self.part.into_datum(),
            self.subject.map(Utf8).into_datum(),
            self.check_id.into_datum(),
            self.severity.into_datum(),
            self.kind.into_datum(),
            self.rows.into_datum(),
            texts(self.evidences),
            texts(self.names),
            self.context.map(Utf8).into_datum(),
            self.iterations.into_datum(),
            self.digest.into_datum(),
            self.salt_tag.into_datum(),
            self.verifier_tag.into_datum(),
            self.by_name.into_datum(),
            self.role.into_datum(),
            self.relation.into_datum(),
            self.block.into_datum(),
            self.fingerprint.into_datum(),
            self.digests.into_datum(),
            self.salt_tags.into_datum(),
            self.verifier_tags.into_datum(),
            self.by_names.into_datum(),
        ]);
    }
}
