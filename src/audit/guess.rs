//! Tries candidate passwords, for a time.

mod words;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use password_audit::{AuditCheck, CHECKS, Policy, Subject, candidates_by_name};
use pgrx::iter::TableIterator;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::keys::HmacKey;

use super::catalog;
use super::source::{LOCK_WAIT, Source};
use crate::error::Error;
use crate::guc;
use crate::pg::row_set::RowSet;
use crate::pg::search_threads;
use crate::pg::text::{ServerText, Utf8};
use crate::wordlist;

/// Iterations of one search and thread, roughly: half a second on a thread. Between two searches
/// there is a look at the clock.
const ITERATIONS_PER_SEARCH: usize = 1 << 24;

/// `scram_internal.guess_checks() returns table (check_id text, severity text, evidence text)`
///
/// The checks that try passwords, and what a hit says.
#[pg_extern(schema = "scram_internal", immutable, parallel_safe)]
pub(crate) fn guess_checks() -> TableIterator<
    'static,
    (name!(check_id, &'static str), name!(severity, &'static str), name!(evidence, &'static str)),
> {
    TableIterator::new(
        CHECKS
            .iter()
            .filter_map(|check| Some((check.id, check.severity.as_str(), check.guess_evidence()?))),
    )
}

/// `scram_internal.candidates_by_server() returns table (check_id text, word bytea)`
///
/// Passwords that the names of this server suggest, for every subject.
#[pg_extern(schema = "scram_internal", stable)]
#[search_path(pg_catalog, pg_temp)]
pub(crate) fn candidates_by_server() -> Result<
    TableIterator<'static, (name!(check_id, &'static str), name!(word, Vec<u8>))>,
    ErrorReport,
> {
    let candidates = password_audit::candidates_by_server(&catalog::policy()?);
    Ok(TableIterator::new(candidates.into_iter().map(|c| (c.check.id, c.as_ref().to_vec()))))
}

/// `scram_internal.builtin_words() returns setof text`
///
/// The built-in word list, most common first; its licence is in data/.
///
/// Internal: `scram.load_wordlist`.
#[pg_extern(schema = "scram_internal", immutable, parallel_safe)]
pub(crate) fn builtin_words() -> TableIterator<'static, (name!(word, &'static str),)> {
    TableIterator::new(wordlist::words().map(|word| (word,)))
}

/// `scram_internal.guess_version() returns integer`
///
/// Another one when what a name suggests has changed: then it is tried again.
#[pg_extern(schema = "scram_internal", stable)]
#[search_path(pg_catalog, pg_temp)]
pub(crate) fn guess_version() -> Result<i32, ErrorReport> {
    Ok(password_audit::guess_version(&catalog::policy()?))
}

/// `scram_internal.guess(source text, relation oid, block bigint, digests bigint[], by_name boolean,
/// last_word_ids integer[], milliseconds integer) returns table (digest bigint, last_word_id integer,
/// tested bigint, subject text, check_ids text[])`
///
/// Tries passwords on the secrets with these digests: what the subject's own data suggest where `by_name` says
/// so, else the words after `last_word_ids`. The secrets are of one slice: of the one that begins at this block
/// of this relation, or of the roles.
///
/// One row for each secret that it got to: the last word that was tried, how many passwords that were, and the
/// checks that were hit. A secret that is not there any more has a row with `tested` NULL. Ends when the time is
/// over, at the earliest after one search.
///
/// A secret that was hit is tried on like any other: neither the numbers nor the time tell which
/// password it was.
///
/// Raises as `scan_source`. Internal: a step of `scram.run_audit`.
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.guess(
    source text, relation oid, block bigint, digests bigint[], by_name boolean, last_word_ids integer[],
    milliseconds integer
)
RETURNS TABLE (digest bigint, last_word_id integer, tested bigint, subject text, check_ids text[])
VOLATILE COST 1000000 ROWS 500
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
SET intervalstyle TO 'postgres'
SET timezone TO 'UTC'
SET extra_float_digits TO 1
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
pub(crate) fn guess(
    source: Option<ServerText>,
    relation: Option<pg_sys::Oid>,
    block: Option<i64>,
    digests: Option<Vec<Option<i64>>>,
    by_name: Option<bool>,
    last_word_ids: Option<Vec<Option<i32>>>,
    milliseconds: Option<i32>,
) -> RowSet<5> {
    RowSet::new(move |sink| {
        let source = source.ok_or(Error::Null { argument: "source" })?;
        let time = Duration::from_millis(u64::try_from(milliseconds.unwrap_or(0)).unwrap_or(0));
        let until = Instant::now() + time;
        let secrets: Vec<(i64, i32)> = digests
            .into_iter()
            .flatten()
            .zip(last_word_ids.into_iter().flatten())
            .filter_map(|(digest, word)| digest.zip(word))
            .collect();
        let mut guesses = Guesses::new(until)?;
        let found = match relation {
            Some(relation) => guesses.rows(&source, relation, block.unwrap_or(0), &secrets)?,
            None => guesses.roles(&secrets)?,
        };
        let results = if by_name == Some(true) {
            guesses.by_name(&secrets, found)?
        } else {
            guesses.by_words(&secrets, found)?
        };
        for tried in results {
            sink.push([
                tried.digest.into_datum(),
                tried.last_word_id.into_datum(),
                tried.tested.into_datum(),
                Utf8(tried.subject).into_datum(),
                tried.check_ids.into_datum(),
            ]);
        }
        Ok(())
    })
}

struct Guesses {
    key: HmacKey,
    policy: Policy,
    until: Instant,
    threads: usize,
    /// Whether there was a search: each call has one, or nothing would ever end.
    searched: bool,
}

/// The result of the candidates that were tried on one secret.
#[derive(Default)]
struct Tried {
    digest: i64,
    last_word_id: i32,
    /// `None` for a secret that is gone.
    tested: Option<i64>,
    subject: String,
    /// Ids of the checks that were hit.
    check_ids: Vec<&'static str>,
}

impl Guesses {
    fn new(until: Instant) -> Result<Self, ErrorReport> {
        Ok(Self {
            key: catalog::digest_key(),
            policy: catalog::policy()?,
            until,
            threads: guc::search_threads(),
            searched: false,
        })
    }

    /// The roles with these secrets.
    fn roles(&self, secrets: &[(i64, i32)]) -> Result<HashMap<i64, Subject>, ErrorReport> {
        let wanted = secrets.iter().map(|(digest, _)| *digest).collect();
        let roles = catalog::roles(Some(wanted))?.subjects.into_iter();
        let by_digest = roles.filter_map(|role| Some((catalog::digest(&self.key, &role)?, role)));
        Ok(by_digest.collect())
    }

    /// The rows of a registered source with these secrets.
    fn rows(
        &self,
        source: &ServerText,
        relation: pg_sys::Oid,
        block: i64,
        secrets: &[(i64, i32)],
    ) -> Result<HashMap<i64, Subject>, ErrorReport> {
        let wanted: HashSet<i64> = secrets.iter().map(|(digest, _)| *digest).collect();
        let source = Source::find(source)?.open(LOCK_WAIT)?;
        Ok(source.subjects(relation, block, &wanted, &self.key)?.into_iter().collect())
    }

    /// Tries what names suggest, on as many secrets at a time as one search has time for.
    fn by_name(
        &mut self,
        secrets: &[(i64, i32)],
        mut found: HashMap<i64, Subject>,
    ) -> Result<Vec<Tried>, ErrorReport> {
        let mut results = Vec::with_capacity(secrets.len());
        let mut secrets = secrets.iter().copied().peekable();
        while secrets.peek().is_some() && !self.is_over() {
            let mut part = Vec::new();
            let mut left = self.iterations_per_search();
            while left > 0
                && let Some((digest, last_word_id)) = secrets.next()
            {
                let tried = Tried { digest, last_word_id, ..Tried::default() };
                let Some(subject) = found.remove(&digest) else {
                    results.push(tried);
                    continue;
                };
                let candidates = candidates_by_name(&subject, &self.policy);
                left = left.saturating_sub(candidates.len().saturating_mul(iterations(&subject)));
                part.push((tried.none(&subject), subject, candidates));
            }
            let guesses: Vec<_> = part
                .iter()
                .map(|(_, subject, candidates)| password_audit::Guesses { subject, candidates })
                .collect();
            let hits = self.search(&guesses, |candidate| candidate.check)?;
            for ((mut tried, _, candidates), hits) in part.into_iter().zip(hits) {
                tried.add(candidates.len(), hits);
                results.push(tried);
            }
        }
        Ok(results)
    }

    /// Whether the time is over. It never is before the first search.
    fn is_over(&self) -> bool {
        self.searched && Instant::now() >= self.until
    }

    fn iterations_per_search(&self) -> usize {
        ITERATIONS_PER_SEARCH * self.threads
    }

    /// For each subject the ids of the checks that were hit.
    fn search<C: AsRef<[u8]> + Sync>(
        &mut self,
        guesses: &[password_audit::Guesses<'_, C>],
        check: impl Fn(&C) -> &'static AuditCheck,
    ) -> Result<Vec<Vec<&'static str>>, Error> {
        self.searched |= guesses.iter().any(|guess| !guess.candidates.is_empty());
        let hits = password_audit::guess(guesses, &self.policy, |search| {
            search_threads::run(search, self.threads)
        })?;
        let ids = |(guess, hits): (&password_audit::Guesses<'_, C>, Vec<usize>)| {
            let checks = password_audit::checks_of(guess.candidates, &hits, &check);
            checks.into_iter().map(|check| check.id).collect()
        };
        Ok(guesses.iter().zip(hits).map(ids).collect())
    }
}

/// The cost of one candidate, in iterations of SCRAM-SHA-256.
fn iterations(subject: &Subject) -> usize {
    let iterations = subject.secret.as_ref().and_then(|secret| secret.iterations());
    iterations.and_then(|n| usize::try_from(n).ok()).unwrap_or(1).max(1)
}

impl Tried {
    /// The progress of a secret before anything was tried.
    fn none(self, subject: &Subject) -> Self {
        Self { tested: Some(0), subject: subject.name.clone(), ..self }
    }

    fn add(&mut self, count: usize, hits: Vec<&'static str>) {
        self.tested = self.tested.map(|tested| tested + i64::try_from(count).unwrap_or(i64::MAX));
        self.check_ids.extend(hits);
    }
}
