//! The secrets of a slice, as `scram_internal.stored_secret` keeps them.

use pgrx::pg_sys;

use super::row::{COLUMNS, ScanRow, ScanSink};

/// A secret on which passwords are tried, or that others could share.
pub(super) struct Secret {
    /// Keyed digest of source, name and secret.
    pub(super) digest: i64,
    /// Equal for equal salts.
    pub(super) salt_tag: Option<i64>,
    /// Equal for equal verifiers.
    pub(super) verifier_tag: Option<i64>,
    /// How many passwords the name suggests; 0 where none is tried.
    pub(super) by_name: i16,
    /// The role and its name; `None` for a row of a registered source.
    pub(super) role: Option<(pg_sys::Oid, String)>,
}

impl Secret {
    /// Adds the row to the result. `subject`: the name of a row of a registered source, where the caller needs it.
    pub(super) fn push(self, subject: Option<String>, sink: &ScanSink) {
        let (role, name) = self.role.unzip();
        ScanRow {
            part: "secret",
            subject: name.or(subject),
            digest: Some(self.digest),
            salt_tag: self.salt_tag,
            verifier_tag: self.verifier_tag,
            by_name: Some(self.by_name),
            role,
            ..ScanRow::default()
        }
        .push(sink);
    }
}

/// Adds the secrets of roles to the result: each digest once, in the order of the table's index, so that SQL need
/// not sort them.
pub(super) fn push_all(secrets: Vec<Secret>, sink: &ScanSink) {
    for secret in in_order(secrets) {
        secret.push(None, sink);
    }
}

/// Adds the secrets of a slice to the result as one row of arrays, because PostgreSQL takes several times as long
/// for a row as for an element.
///
/// The script of 0.1.0 has no columns for them and takes a row for each.
pub(super) fn push_slice(secrets: Vec<Secret>, sink: &ScanSink) {
    if sink.columns() < COLUMNS {
        return push_all(secrets, sink);
    }
    let secrets = in_order(secrets);
    ScanRow {
        part: "secrets",
        digests: Some(secrets.iter().map(|secret| secret.digest).collect()),
        salt_tags: Some(secrets.iter().map(|secret| secret.salt_tag).collect()),
        verifier_tags: Some(secrets.iter().map(|secret| secret.verifier_tag).collect()),
        by_names: Some(secrets.iter().map(|secret| secret.by_name).collect()),
        ..ScanRow::default()
    }
    .push(sink);
}

/// Two rows of a source with the same name and secret have the same digest.
fn in_order(mut secrets: Vec<Secret>) -> Vec<Secret> {
    secrets.sort_unstable_by_key(|secret| secret.digest);
    secrets.dedup_by_key(|secret| secret.digest);
    secrets
}
