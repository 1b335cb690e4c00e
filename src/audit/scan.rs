//! Internal functions that return the secrets of roles and the rows of a registered source, judged
//! by the checks.

use std::time::{Duration, Instant};

use password_audit::{Policy, Subject};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::Mechanism;
use scram_core::keys::Key;

use super::catalog;
use super::source::Source;
use crate::error::Error;
use crate::pg::row_set::RowSet;
use crate::pg::text::{ServerText, Utf8};

/// `scram_internal.role_secrets() returns table (subject text, digest bytea, candidates integer)`
///
/// Every role with a secret: the digest that tells one secret from the next, and how many passwords
/// its name suggests; 0 where none is tried.
///
/// Internal: the first step of `scram.run_audit`.
#[pg_extern(schema = "scram_internal", stable, cost = 100000)]
#[search_path(pg_catalog, pg_temp)]
pub(crate) fn role_secrets() -> Result<
    TableIterator<'static, (name!(subject, Utf8), name!(digest, Vec<u8>), name!(candidates, i32))>,
    ErrorReport,
> {
    let (policy, key) = (catalog::policy()?, catalog::digest_key());
    let rows = catalog::roles()?.into_iter().filter_map(move |subject| {
        let digest = catalog::digest(&key, &subject)?;
        let candidates = candidates(&subject, &policy);
        Some((Utf8(subject.name), digest, candidates))
    });
    Ok(TableIterator::new(rows.collect::<Vec<_>>()))
}

/// `scram_internal.read_source(source text, milliseconds integer) returns table (subject text, digest bytea,
/// candidates integer, kind text, iterations integer, salt_tag bigint, verifier_tag bigint,
/// check_ids text[], evidences text[])`
///
/// Every row of a registered source, judged by the checks that need no other row. Two tags are equal
/// where the salts, or the verifiers, are; they are keyed. Memory doesn't grow with the source. A
/// partition that cannot be read is a row with no subject: the evidence is its name.
///
/// `milliseconds`: how long it may take; NULL for no limit. After that time this raises 53400, though
/// never before the first batch of rows.
///
/// Raises what the registration raises, as everything is asked again (`audit_source_fits`), 55P03 where
/// the relation stays locked, 55000 for a materialized view without data.
///
/// The settings are those that decide how a value is printed: a row must have the same name in each
/// session.
///
/// Internal: `scram.audit` and a step of `scram.run_audit`.
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.read_source(source text, milliseconds integer)
RETURNS TABLE (
    subject text,
    digest bytea,
    candidates integer,
    kind text,
    iterations integer,
    salt_tag bigint,
    verifier_tag bigint,
    check_ids text[],
    evidences text[]
) STABLE COST 1000000 ROWS 100000
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
SET intervalstyle TO 'postgres'
SET timezone TO 'UTC'
SET extra_float_digits TO 1
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
pub(crate) fn read_source(source: Option<ServerText>, milliseconds: Option<i32>) -> RowSet<9> {
    RowSet::new(move |sink| {
        let source = source.ok_or(Error::Null { argument: "source" })?;
        let time = milliseconds.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let until = time.map(|time| Instant::now() + time);
        let (policy, key) = (catalog::policy()?, catalog::digest_key());
        let source = Source::find(&source)?;
        let unread = source.read(
            until,
            |_| true,
            |subject| {
                let secret = subject.secret.as_ref();
                let tag = |part: Option<&[u8]>| part.map(|part| tag(&key, part)).into_datum();
                let (check_ids, evidences): (Vec<_>, Vec<_>) =
                    password_audit::scan_one(&subject, &policy)
                        .into_iter()
                        .map(|(c, e)| (c.id, e))
                        .unzip();
                sink.push([
                    Utf8(subject.name.clone()).into_datum(),
                    catalog::digest(&key, &subject).into_datum(),
                    candidates(&subject, &policy).into_datum(),
                    secret.map(|secret| secret.kind().as_str()).into_datum(),
                    secret.and_then(|secret| secret.iterations()).into_datum(),
                    tag(secret.and_then(|secret| secret.salt()).filter(|salt| !salt.is_empty())),
                    tag(secret.and_then(|secret| secret.stored_key())),
                    check_ids.into_datum(),
                    evidences.into_datum(),
                ]);
            },
        )?;
        for partition in unread {
            let mut row = [const { None }; 9];
            row[7] = vec!["source_unreadable"].into_datum();
            row[8] = vec![partition.to_display()].into_datum();
            sink.push(row);
        }
        Ok(())
    })
}

fn candidates(subject: &Subject, policy: &Policy) -> i32 {
    if !password_audit::is_tried(subject, policy) {
        return 0;
    }
    i32::try_from(password_audit::candidates_by_name(subject, policy).len()).unwrap_or(i32::MAX)
}

fn tag(key: &Key, part: &[u8]) -> i64 {
    let digest = key.hmac(Mechanism::ScramSha256, &[b"shared\0", part]);
    let mut tag = [0; 8];
    tag.copy_from_slice(&digest.as_bytes()[..8]);
    i64::from_be_bytes(tag)
}
