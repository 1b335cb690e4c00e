//! Section "Audit": what is stored in this cluster, judged by the core's checks.
//!
//! Nothing here is written: the stored runs are `sql/schema/audit.sql`, which calls the internal
//! functions below.

#![expect(clippy::type_complexity, reason = "pgrx reads a result's columns off the signature")]

mod read;

use pgrx::iter::TableIterator;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::audit::{self, CHECKS, Finding, Rule};

use crate::text::{Text, Utf8};
use crate::verifier::interrupts;

/// `scram.audit_checks() returns table (check_id text, severity text, title text, remedy text)`
///
/// Every check that the audit knows, in the order of its report.
#[pg_extern(schema = "scram", immutable, parallel_safe)]
fn audit_checks() -> TableIterator<
    'static,
    (
        name!(check_id, &'static str),
        name!(severity, &'static str),
        name!(title, &'static str),
        name!(remedy, Utf8),
    ),
> {
    TableIterator::new(CHECKS.iter().map(|check| {
        (check.id, check.severity.as_str(), check.title, Utf8(check.remedy.to_owned()))
    }))
}

/// `scram.audit() returns table (source text, subject text, check_id text, severity text,
/// evidence text)`
///
/// What the checks find now, on the roles and the server. Nothing is stored, so that it works on a
/// standby. No row holds key material. Tries passwords that the names suggest: takes as long as the
/// stored iteration counts ask for, and can be cancelled meanwhile.
///
/// SECURITY DEFINER, as only a superuser reads `pg_authid`: that is why PUBLIC may not call it.
#[pg_extern(schema = "scram", stable, security_definer, cost = 1000000)]
#[search_path(pg_catalog, pg_temp)]
fn audit() -> Result<
    TableIterator<
        'static,
        (
            name!(source, Utf8),
            name!(subject, Utf8),
            name!(check_id, &'static str),
            name!(severity, &'static str),
            name!(evidence, Utf8),
        ),
    >,
    ErrorReport,
> {
    let (policy, server) = (read::policy()?, read::server()?);
    let findings = audit::run(&read::roles()?, &server, &policy, interrupts);
    Ok(TableIterator::new(findings.into_iter().map(row)))
}

/// `scram.audit_scan() returns table (…)`, as [`audit`] without the checks that derive keys.
///
/// Internal: the first step of `scram.run_audit`.
#[pg_extern(schema = "scram", stable, security_definer, cost = 100000)]
#[search_path(pg_catalog, pg_temp)]
fn audit_scan() -> Result<
    TableIterator<
        'static,
        (
            name!(source, Utf8),
            name!(subject, Utf8),
            name!(check_id, &'static str),
            name!(severity, &'static str),
            name!(evidence, Utf8),
        ),
    >,
    ErrorReport,
> {
    let (policy, server) = (read::policy()?, read::server()?);
    let findings = audit::scan(&read::roles()?, &server, &policy);
    Ok(TableIterator::new(findings.into_iter().map(row)))
}

/// `scram.audit_workload() returns table (source text, subject text, check_id text,
/// candidates integer, digest bytea)`
///
/// What the checks that derive keys have to do: one row for each subject and check. The digest is
/// the same as long as neither the secret nor the candidates have changed, on this cluster.
///
/// Internal: the first step of `scram.run_audit`.
#[pg_extern(schema = "scram", stable, security_definer, cost = 100000)]
#[search_path(pg_catalog, pg_temp)]
fn audit_workload() -> Result<
    TableIterator<
        'static,
        (
            name!(source, Utf8),
            name!(subject, Utf8),
            name!(check_id, &'static str),
            name!(candidates, i32),
            name!(digest, Vec<u8>),
        ),
    >,
    ErrorReport,
> {
    let (policy, key) = (read::policy()?, read::digest_key()?);
    let mut rows = Vec::new();
    for subject in &read::roles()? {
        for check in CHECKS.iter().filter(|check| matches!(check.rule, Rule::Guess(_))) {
            let candidates = audit::workload(check, subject, &policy);
            if candidates > 0 {
                rows.push((
                    Utf8(subject.origin.name().to_owned()),
                    Utf8(subject.name.clone()),
                    check.id,
                    i32::try_from(candidates).unwrap_or(i32::MAX),
                    audit::workload_digest(&key, check, subject, &policy).as_bytes().to_vec(),
                ));
            }
        }
    }
    Ok(TableIterator::new(rows))
}

/// `scram.audit_try(role text, check_id text) returns table (digest bytea, evidence text)`
///
/// Tries the candidates of one check on one role. No row: nothing to try, the role is gone.
/// Otherwise the digest of what was tried, and the evidence of a hit or NULL.
///
/// Internal: the later steps of `scram.run_audit`.
#[pg_extern(schema = "scram", stable, security_definer, cost = 1000000)]
#[search_path(pg_catalog, pg_temp)]
fn audit_try(
    role: Text,
    check_id: Text,
) -> Result<
    TableIterator<'static, (name!(digest, Vec<u8>), name!(evidence, Option<Utf8>))>,
    ErrorReport,
> {
    let (policy, key) = (read::policy()?, read::digest_key()?);
    let check = audit::check(check_id.ascii());
    let tried = check.zip(read::role(role)?).and_then(|(check, subject)| {
        if audit::workload(check, &subject, &policy) == 0 {
            return None;
        }
        let digest = audit::workload_digest(&key, check, &subject, &policy).as_bytes().to_vec();
        let finding = audit::try_guess(check, &subject, &policy, interrupts);
        Some((digest, finding.map(|finding| Utf8(finding.evidence))))
    });
    Ok(TableIterator::new(tried))
}

/// `scram.audit_ready() returns void`
///
/// Raises 25006 where nothing can be stored and 25001 where `scram.run_audit` could not commit.
///
/// Internal: the first statement of `scram.run_audit`. Only there can it know; a function that runs
/// queries of its own is not asked by the procedure any more.
#[pg_extern(schema = "scram", volatile)]
fn audit_ready() -> Result<(), ErrorReport> {
    // SAFETY: these read the state of the backend.
    let (recovery, read_only, block, commits) = unsafe {
        (
            pg_sys::RecoveryInProgress(),
            pg_sys::XactReadOnly,
            pg_sys::IsTransactionBlock(),
            pg_sys::SPI_inside_nonatomic_context(),
        )
    };
    if recovery || read_only {
        let place = if recovery { "during recovery" } else { "in a read-only transaction" };
        return Err(ErrorReport::new(
            PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
            format!("scram.run_audit() cannot store its findings {place}"),
            "",
        )
        .set_hint("Run it on the primary. scram.audit() stores nothing and works here."));
    }
    if block || !commits {
        return Err(ErrorReport::new(
            PgSqlErrorCode::ERRCODE_ACTIVE_SQL_TRANSACTION,
            "scram.run_audit() cannot run inside a transaction block",
            "",
        )
        .set_hint(
            "It commits as it goes: send the CALL on its own, outside of BEGIN and of functions.",
        ));
    }
    Ok(())
}

/// `scram.audit_restricted() returns boolean`
///
/// Whether the server runs this on somebody's behalf in a maintenance command (a function in an
/// index at ANALYZE, say): then the session's user has not asked for it.
///
/// Internal: a part of who may run an audit.
#[pg_extern(schema = "scram", volatile)]
fn audit_restricted() -> bool {
    // SAFETY: reads the state of the backend.
    unsafe { pg_sys::InSecurityRestrictedOperation() }
}

/// As a row of [`audit`] and of [`audit_scan`].
fn row(finding: Finding) -> (Utf8, Utf8, &'static str, &'static str, Utf8) {
    (
        Utf8(finding.source),
        Utf8(finding.subject),
        finding.check.id,
        finding.check.severity.as_str(),
        Utf8(finding.evidence),
    )
}
