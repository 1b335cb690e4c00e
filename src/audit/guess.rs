//! Tries candidate passwords, for a time.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use password_audit::{
    AuditCheck, CHECKS, Candidate, CheckKind, Policy, Subject, candidates_by_name,
};
use pgrx::iter::TableIterator;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::keys::Key;

use super::catalog;
use super::source::Source;
use crate::error::Error;
use crate::guc;
use crate::pg::query::query;
use crate::pg::search_threads;
use crate::pg::text::ServerText;

/// Words that are read, and tried on a subject, at a time.
const CHUNK: i64 = 10_000;

/// Iterations of one search, roughly: about half a second on a thread. Between two searches
/// there is a look at the clock.
const SLICE: usize = 1 << 24;

const WORDS: &str = r"
SELECT w.word_id, w.check_id, w.word FROM scram_internal.candidate w
WHERE w.word_id > $1 ORDER BY w.word_id LIMIT $2";

/// `scram_internal.guess_checks() returns table (check_id text, severity text, evidence text)`
///
/// The checks that try passwords, and what a hit says.
#[pg_extern(schema = "scram_internal", immutable, parallel_safe)]
pub(crate) fn guess_checks() -> TableIterator<
    'static,
    (name!(check_id, &'static str), name!(severity, &'static str), name!(evidence, &'static str)),
> {
    TableIterator::new(CHECKS.iter().filter_map(|check| match &check.kind {
        CheckKind::Guess(guess) => Some((check.id, check.severity.as_str(), guess.evidence)),
        _ => None,
    }))
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
    TableIterator::new(include_str!("../../data/wordlist.txt").lines().map(|word| (word,)))
}

/// `scram_internal.guess_version() returns integer`
///
/// Another one when what a name suggests has changed: then it is tried again.
#[pg_extern(schema = "scram_internal", stable)]
#[search_path(pg_catalog, pg_temp)]
pub(crate) fn guess_version() -> Result<i32, ErrorReport> {
    Ok(password_audit::guess_version(&catalog::policy()?))
}

/// `scram_internal.guess(source text, subjects text[], digests bytea[], own boolean, through bigint[],
/// milliseconds integer) returns table (place integer, through bigint, tested bigint, check_ids text[])`
///
/// Tries passwords on the secrets with these digests: what the subject's own data suggest where
/// `own` says so, else the words after `through`. One row for each secret that it got to: its place
/// in the arrays from 1 on, the last word that was tried, how many passwords that were, and the checks
/// that were hit. A secret that is not there any more has a row with `tested` NULL. Ends when the time is
/// over, at the earliest after one search.
///
/// A secret that was hit is tried on like any other: neither the numbers nor the time tell which
/// password it was.
///
/// Internal: a step of `scram.run_audit`.
#[pg_extern(schema = "scram_internal", volatile, cost = 1000000)]
#[search_path(pg_catalog, pg_temp)]
pub(crate) fn guess(
    source: ServerText,
    subjects: Array<'_, ServerText>,
    digests: Array<'_, &[u8]>,
    own: bool,
    through: Array<'_, i64>,
    milliseconds: i32,
) -> Result<
    TableIterator<
        'static,
        (
            name!(place, i32),
            name!(through, i64),
            name!(tested, Option<i64>),
            name!(check_ids, Vec<&'static str>),
        ),
    >,
    ErrorReport,
> {
    let until =
        Instant::now() + Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default());
    let names: Vec<String> = subjects
        .iter()
        .map(|name| name.map(|name| name.to_display()).unwrap_or_default())
        .collect();
    let wanted: Vec<(Vec<u8>, i64)> = digests
        .iter()
        .zip(through.iter())
        .map(|(digest, through)| {
            (digest.map(<[u8]>::to_vec).unwrap_or_default(), through.unwrap_or_default())
        })
        .collect();

    let mut attempts = Attempts::begin(until)?;
    let found = attempts.secrets(&source, &names, &wanted)?;
    let mut results = Vec::with_capacity(wanted.len());
    let mut unfinished = Vec::new();
    for (place, ((_, through), subject)) in (1..).zip(wanted.into_iter().zip(found)) {
        let Some(subject) = subject else {
            results.push((place, through, None, Vec::new()));
            continue;
        };
        if attempts.searched && Instant::now() >= until {
            break;
        }
        let tried =
            if own { attempts.own(&subject, through) } else { attempts.words(&subject, through) }?;
        if !own && tried.tested > 0 {
            unfinished.push((results.len(), subject));
        }
        results.push((place, tried.through, Some(tried.tested), tried.hits));
    }
    // Few secrets get more words than one reading of the list: a commit for each would cost too much.
    while !unfinished.is_empty() && Instant::now() < until {
        let mut still = Vec::new();
        for (index, subject) in unfinished {
            let Some((_, through, tested, check_ids)) = results.get_mut(index) else { continue };
            if Instant::now() >= until {
                break;
            }
            let tried = attempts.words(&subject, *through)?;
            *through = tried.through;
            *tested = tested.map(|tested: i64| tested + tried.tested);
            check_ids.extend(tried.hits);
            if tried.tested > 0 {
                still.push((index, subject));
            }
        }
        unfinished = still;
    }
    Ok(TableIterator::new(results))
}

struct Attempts {
    key: Key,
    policy: Policy,
    until: Instant,
    workers: usize,
    /// Whether there was a search: each call has one, or nothing would ever end.
    searched: bool,
    words: Words,
}

/// The result of the candidates that were tried on one subject.
struct Tried {
    through: i64,
    tested: i64,
    /// Ids of the checks that were hit.
    hits: Vec<&'static str>,
}

impl Attempts {
    fn begin(until: Instant) -> Result<Self, ErrorReport> {
        Ok(Self {
            key: catalog::digest_key(),
            policy: catalog::policy()?,
            until,
            workers: guc::search_threads(),
            searched: false,
            words: Words { after: -1, list: Vec::new() },
        })
    }

    /// The subjects that still have the wanted secrets, in the order of these.
    fn secrets(
        &self,
        source: &ServerText,
        names: &[String],
        wanted: &[(Vec<u8>, i64)],
    ) -> Result<Vec<Option<Subject>>, ErrorReport> {
        let mut found: Vec<Option<Subject>> = wanted.iter().map(|_| None).collect();
        let places: HashMap<&[u8], usize> =
            wanted.iter().enumerate().map(|(place, (digest, _))| (&**digest, place)).collect();
        let mut take = |subject: Subject| {
            let digest = catalog::digest(&self.key, &subject);
            if let Some(place) = digest.and_then(|digest| places.get(&*digest)) {
                found[*place] = Some(subject);
            }
        };
        if source.as_bytes() == ROLES {
            catalog::roles_named(names)?.into_iter().for_each(&mut take);
        } else {
            let names: HashSet<&str> = names.iter().map(String::as_str).collect();
            // A partition that cannot be read has no subjects among the wanted ones.
            Source::find(source)?.read(None, |name| names.contains(name), take)?;
        }
        Ok(found)
    }

    fn own(&mut self, subject: &Subject, through: i64) -> Result<Tried, ErrorReport> {
        let candidates = candidates_by_name(subject, &self.policy);
        let hits = self.search(subject, &candidates, |candidate| candidate.check)?;
        Ok(Tried { through, tested: len(candidates.len()), hits })
    }

    fn words(&mut self, subject: &Subject, through: i64) -> Result<Tried, ErrorReport> {
        self.words.load(through)?;
        let words = core::mem::take(&mut self.words.list);
        let mut tried = Tried { through, tested: 0, hits: Vec::new() };
        for slice in words.chunks(self.slice_len(subject)) {
            // Nothing tried means that nothing was left to try, so the first slice has to be.
            if tried.tested > 0 && Instant::now() >= self.until {
                break;
            }
            tried.hits.extend(self.search(subject, slice, |word| word.candidate.check)?);
            tried.tested += len(slice.len());
            tried.through = slice.last().map_or(tried.through, |word| word.id);
        }
        self.words.list = words;
        Ok(tried)
    }

    fn slice_len(&self, subject: &Subject) -> usize {
        let iterations = subject.secret.as_ref().and_then(|secret| secret.iterations());
        let iterations = iterations.and_then(|n| usize::try_from(n).ok()).unwrap_or(1).max(1);
        (SLICE / iterations).max(16) * self.workers
    }

    /// Ids of the checks that were hit.
    fn search<C: AsRef<[u8]> + Sync>(
        &mut self,
        subject: &Subject,
        candidates: &[C],
        check: impl Fn(&C) -> &'static AuditCheck,
    ) -> Result<Vec<&'static str>, Error> {
        self.searched = true;
        let hits = password_audit::guess(subject, &self.policy, candidates, |search| {
            search_threads::run(search, self.workers)
        })?;
        let checks = password_audit::checks_of(candidates, &hits, check);
        Ok(checks.into_iter().map(|check| check.id).collect())
    }
}

/// The source whose subjects are the cluster's roles.
const ROLES: &[u8] = b"role";

/// Words that were read last.
struct Words {
    after: i64,
    list: Vec<Word>,
}

struct Word {
    id: i64,
    candidate: Candidate,
}

impl AsRef<[u8]> for Word {
    fn as_ref(&self) -> &[u8] {
        self.candidate.as_ref()
    }
}

impl Words {
    fn load(&mut self, after: i64) -> Result<(), ErrorReport> {
        if self.after == after {
            return Ok(());
        }
        let list = query(WORDS, &[after.into(), CHUNK.into()], |row| {
            let id = row.value("word_id")?;
            let check = password_audit::check(&row.text("check_id")?);
            let word: Vec<u8> = row.value("word")?;
            Ok(check.map(|check| Word { id, candidate: Candidate::new(check, &word) }))
        })?;
        self.list = list.into_iter().flatten().collect();
        self.after = after;
        Ok(())
    }
}

fn len(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
