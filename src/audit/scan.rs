//! Reads a source and judges its subjects: as a whole for `scram.audit`, in slices of blocks for
//! `scram.run_audit`.

mod row;
mod secrets;
mod tally;

use std::time::Duration;

use password_audit::{AuditCheck, Candidate, Policy, Subject, SubjectHit};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::keys::HmacKey;

use super::catalog;
use super::source::{LOCK_WAIT, OpenSource, Position, Slice, Source};
use crate::error::Error;
use crate::guc;
use crate::pg::row_set::RowSet;
use crate::pg::search_threads;
use crate::pg::text::{ServerText, Utf8};

use row::{COLUMNS, FIRST_COLUMNS, ScanRow, ScanSink};
use secrets::Secret;
use tally::Tally;

/// Roles on whose secrets one search tries passwords. They share its lanes and threads.
const ROLES_PER_SEARCH: usize = 500;

/// `scram_internal.scan_source(source text, guesses boolean, check_id text) returns setof
/// scram_internal.scan_row`
///
/// A whole source, judged now: `server`, `role`, or a registered one. Memory does not grow with a registered
/// source.
///
/// `guesses`: also try what names suggest on roles; the stored iteration counts set the time that this takes.
/// `check_id`: return a `row` for each subject that this check hits; NULL for none.
///
/// Raises what the registration raises, because everything is asked again; 55P03 where the relation stays
/// locked, 55000 for a materialized view without data.
///
/// The settings decide how a value is printed: a row must have the same name in each session.
///
/// Internal: `scram.audit`, `scram.audit_source_rows`, and a step of `scram.run_audit`.
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.scan_source(source text, guesses boolean, check_id text)
RETURNS SETOF scram_internal.scan_row STABLE COST 1000000 ROWS 100000
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
SET intervalstyle TO 'postgres'
SET timezone TO 'UTC'
SET extra_float_digits TO 1
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
pub(crate) fn scan_source(
    source: Option<ServerText>,
    guesses: Option<bool>,
    check_id: Option<ServerText>,
) -> RowSet<COLUMNS> {
    RowSet::growing(FIRST_COLUMNS, move |sink| {
        let source = source.ok_or(Error::Null { argument: "source" })?;
        let listed = check_id.map(|id| id.as_ascii().to_owned());
        match source.as_bytes() {
            b"server" => scan_server(sink),
            b"role" => scan_roles(sink, guesses == Some(true), listed.as_deref()),
            _ => scan_rows(sink, &source, listed.as_deref()),
        }
    })
}

/// `scram_internal.scan_slice(source text, relation oid, block bigint, fingerprint bytea,
/// lock_milliseconds integer) returns setof scram_internal.scan_row`
///
/// The slice of a registered source that begins at this block of this relation, judged. The last row says
/// where the next slice begins: `relation` is NULL after the last one. Its part is `same` where the slice's
/// rows and the settings still have this fingerprint; then no other row comes. A `slice` without a fingerprint
/// was not read, because no slice begins there (any more): `relation` NULL asks for the first one.
///
/// `lock_milliseconds`: how long to wait for a locked relation, at most the three seconds that other calls wait.
///
/// A slice has at most 1024 blocks, and ends early after 16 MiB of values, so its time is bounded.
///
/// Raises as [`scan_source`]. Internal: a step of `scram.run_audit`.
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.scan_slice(
    source text, relation oid, block bigint, fingerprint bytea, lock_milliseconds integer
)
RETURNS SETOF scram_internal.scan_row STABLE COST 1000000 ROWS 100000
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
SET intervalstyle TO 'postgres'
SET timezone TO 'UTC'
SET extra_float_digits TO 1
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
pub(crate) fn scan_slice(
    source: Option<ServerText>,
    relation: Option<pg_sys::Oid>,
    block: Option<i64>,
    fingerprint: Option<Vec<u8>>,
    lock_milliseconds: Option<i32>,
) -> RowSet<COLUMNS> {
    RowSet::growing(FIRST_COLUMNS, move |sink| {
        let source = source.ok_or(Error::Null { argument: "source" })?;
        let position = relation.map(|relation| Position {
            relation,
            block: block.and_then(|block| u32::try_from(block).ok()).unwrap_or(0),
        });
        let judge = Judge::new()?;
        let lock_wait = u64::try_from(lock_milliseconds.unwrap_or(i32::MAX)).unwrap_or(0);
        let open = Source::find(&source)?.open(Duration::from_millis(lock_wait))?;
        let end = |next: Option<Position>| ScanRow {
            part: "slice",
            relation: next.map(|next| next.relation),
            block: next.map(|next| i64::from(next.block)),
            ..ScanRow::default()
        };
        let slice = open.slice_at(position);
        let start = slice.as_ref().map(Slice::position);
        let (Some(slice), Some(start)) = (slice, start.filter(|_| start == position)) else {
            end(start).push(sink);
            return Ok(());
        };
        let blocks = match slice {
            Slice::Blocks(blocks) => blocks,
            Slice::Unread(_, name) => {
                unreadable(name).push(sink);
                let fingerprint = Some(Vec::new());
                ScanRow { fingerprint, rows: Some(0), ..end(open.next(start, 1)) }.push(sink);
                return Ok(());
            }
        };

        let snapshot = open.snapshot();
        let settings = judge.settings(&open);
        if let Some(known) = fingerprint {
            let seen = open.fingerprint(&blocks, &snapshot, &judge.key, &settings)?;
            if seen.fingerprint == known {
                let (part, rows) = ("same", Some(seen.rows));
                ScanRow { part, rows, fingerprint: Some(known), ..end(open.next(start, seen.end)) }
                    .push(sink);
                return Ok(());
            }
        }
        let mut tally = Tally::of_rows(guc::audit_rows_listed());
        let mut secrets = Vec::new();
        let seen = open.read(&blocks, &snapshot, &judge.key, &settings, |subject| {
            tally.add(&subject, password_audit::scan_subject(&subject, &judge.policy));
            secrets.extend(judge.secret(&subject, None));
        })?;
        tally.push(sink);
        secrets::push_slice(secrets, sink);
        let (fingerprint, rows) = (Some(seen.fingerprint), Some(seen.rows));
        ScanRow { fingerprint, rows, ..end(open.next(start, seen.end)) }.push(sink);
        Ok(())
    })
}

/// `scram_internal.names(source text, relation oid, block bigint, digests bigint[]) returns table
/// (digest bigint, subject text)`
///
/// The names of the rows with these digests, in the slice that begins there.
///
/// Raises as [`scan_source`]. Internal: a step of `scram.run_audit`.
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.names(source text, relation oid, block bigint, digests bigint[])
RETURNS TABLE (digest bigint, subject text) STABLE STRICT COST 1000000 ROWS 20
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
SET intervalstyle TO 'postgres'
SET timezone TO 'UTC'
SET extra_float_digits TO 1
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
pub(crate) fn names(
    source: ServerText,
    relation: pg_sys::Oid,
    block: i64,
    digests: Vec<Option<i64>>,
) -> RowSet<2> {
    RowSet::new(move |sink| {
        let wanted = digests.into_iter().flatten().collect();
        let found = Source::find(&source)?.open(LOCK_WAIT)?.subjects(
            relation,
            block,
            &wanted,
            &catalog::digest_key(),
        )?;
        for (digest, subject) in found {
            sink.push([digest.into_datum(), Utf8(subject.name).into_datum()]);
        }
        Ok(())
    })
}

/// Everything that judging a subject takes.
struct Judge {
    key: HmacKey,
    policy: Policy,
}

impl Judge {
    fn new() -> Result<Self, ErrorReport> {
        Ok(Self { key: catalog::digest_key(), policy: catalog::policy()? })
    }

    /// Everything but the rows that decides about findings on rows.
    fn settings(&self, source: &OpenSource) -> Vec<u8> {
        // Names of databases only suggest passwords.
        let policy = Policy { names: Vec::new(), ..self.policy.clone() };
        let parts = (
            env!("CARGO_PKG_VERSION"),
            guc::audit_rows_listed(),
            password_audit::guess_version(&policy),
            source.settings(),
            policy,
        );
        format!("{parts:?}").into_bytes()
    }

    /// The digest and tags of a secret, if it is a role's, if passwords are tried on it, or if others could share it.
    fn secret(&self, subject: &Subject, role: Option<pg_sys::Oid>) -> Option<Secret> {
        let secret = subject.secret.as_ref()?;
        let tag = |parts: [&[u8]; 2]| tag(&self.key, parts);
        let salt = secret.salt().filter(|salt| !salt.is_empty());
        let salt_tag = salt.map(|salt| tag([b"salt\0", salt]));
        let verifier_tag = salt.zip(secret.stored_key()).map(|(salt, key)| tag([salt, key]));
        let by_name = self.by_name(subject);
        if by_name == 0 && salt_tag.is_none() && verifier_tag.is_none() && role.is_none() {
            return None;
        }
        let digest = catalog::digest(&self.key, subject)?;
        let role = role.map(|role| (role, subject.name.clone()));
        Some(Secret { digest, salt_tag, verifier_tag, by_name, role })
    }

    /// How many passwords the subject's name suggests; 0 where none is tried.
    fn by_name(&self, subject: &Subject) -> i16 {
        if !password_audit::is_tried(subject, &self.policy) {
            return 0;
        }
        let count = password_audit::count_by_name(subject, &self.policy);
        i16::try_from(count).unwrap_or(i16::MAX)
    }
}

fn scan_server(sink: &ScanSink) -> Result<(), ErrorReport> {
    let policy = catalog::policy()?;
    let server = catalog::server()?;
    push_unjudged(sink, password_audit::unjudged(&server));
    for (check, hit) in password_audit::scan_server(&server, &policy) {
        ScanRow {
            part: "finding",
            severity: Some(hit.severity(check).as_str()),
            subject: Some(hit.subject),
            check_id: Some(check.id),
            rows: Some(1),
            evidences: Some(vec![hit.evidence]),
            context: Some(hit.context),
            ..ScanRow::default()
        }
        .push(sink);
    }
    ScanRow { part: "slice", rows: Some(0), ..ScanRow::default() }.push(sink);
    Ok(())
}

fn scan_roles(sink: &ScanSink, guesses: bool, listed: Option<&str>) -> Result<(), ErrorReport> {
    let judge = Judge::new()?;
    let by_server = password_audit::candidates_by_server(&judge.policy);
    let (server, roles) = catalog::cluster()?;
    let unjudged = password_audit::unjudged(&server);
    push_unjudged(sink, unjudged);
    let mut tally = Tally::of_roles();
    let mut secrets = Vec::new();
    let parts = roles.oids.chunks(ROLES_PER_SEARCH).zip(roles.subjects.chunks(ROLES_PER_SEARCH));
    for (oids, subjects) in parts {
        let guessed = if guesses {
            guess(subjects, &judge.policy, &by_server)?
        } else {
            vec![Vec::new(); subjects.len()]
        };
        for ((role, subject), guessed) in oids.iter().zip(subjects).zip(guessed) {
            let mut hits = password_audit::scan_subject(subject, &judge.policy);
            hits.retain(|hit| !unjudged.contains(&hit.check.id));
            hits.extend(guessed.into_iter().filter_map(hit_of));
            push_listed(sink, subject, &hits, listed);
            tally.add(subject, hits);
            secrets.extend(judge.secret(subject, Some(*role)));
        }
    }
    let subjects = tally.subjects;
    tally.push(sink);
    secrets::push_all(secrets, sink);
    ScanRow { part: "slice", rows: Some(subjects), ..ScanRow::default() }.push(sink);
    Ok(())
}

/// Writes the checks whose earlier findings stand.
fn push_unjudged(sink: &ScanSink, checks: &[&'static str]) {
    for id in checks {
        ScanRow { part: "unjudged", check_id: Some(id), ..ScanRow::default() }.push(sink);
    }
}

/// For each role the checks that try passwords and hit it.
fn guess(
    subjects: &[Subject],
    policy: &Policy,
    by_server: &[Candidate],
) -> Result<Vec<Vec<&'static AuditCheck>>, ErrorReport> {
    let workers = guc::search_threads();
    Ok(password_audit::guess_names(subjects, policy, by_server, |search| {
        search_threads::run(search, workers)
    })?)
}

/// The evidence of a check that tries passwords.
fn hit_of(check: &'static AuditCheck) -> Option<SubjectHit> {
    let evidence = check.guess_evidence()?.to_owned();
    Some(SubjectHit { check, severity: check.severity, evidence, context: String::new() })
}

fn scan_rows(
    sink: &ScanSink,
    source: &ServerText,
    listed: Option<&str>,
) -> Result<(), ErrorReport> {
    let judge = Judge::new()?;
    let open = Source::find(source)?.open(LOCK_WAIT)?;
    let snapshot = open.snapshot();
    let mut tally = Tally::of_rows(guc::audit_rows_listed());
    open.read_all(&snapshot, |subject| {
        let hits = password_audit::scan_subject(&subject, &judge.policy);
        push_listed(sink, &subject, &hits, listed);
        tally.add(&subject, hits);
        if let Some(secret) = judge.secret(&subject, None) {
            secret.push(Some(subject.name), sink);
        }
    })?;
    for name in open.unread() {
        unreadable(name).push(sink);
    }
    tally.push(sink);
    Ok(())
}

/// Writes a `row` if the check that the caller asked for is among the hits.
fn push_listed(sink: &ScanSink, subject: &Subject, hits: &[SubjectHit], listed: Option<&str>) {
    if let Some(hit) = hits.iter().find(|hit| listed == Some(hit.check.id)) {
        ScanRow {
            part: "row",
            subject: Some(subject.name.clone()),
            evidences: Some(vec![format!("{}{}", hit.evidence, hit.context)]),
            ..ScanRow::default()
        }
        .push(sink);
    }
}

/// A partition that is a foreign table; the subject is its name.
fn unreadable(name: &ServerText) -> ScanRow {
    let check = password_audit::check("source_unreadable");
    ScanRow {
        part: "finding",
        subject: Some(name.to_display()),
        check_id: check.map(|check| check.id),
        severity: check.map(|check| check.severity.as_str()),
        rows: Some(1),
        ..ScanRow::default()
    }
}

/// Equal for equal salts or verifiers of this cluster, and of no use for guessing.
fn tag(key: &HmacKey, [first, second]: [&[u8]; 2]) -> i64 {
    first_bytes(key.hmac(&[b"shared\0", first, second]).as_bytes())
}

/// The first eight bytes of a digest as a number.
pub(super) fn first_bytes(digest: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    i64::from_be_bytes(bytes)
}
