//! Tries candidate passwords, for a time.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use password_audit::{AuditCheck, CHECKS, Candidate, Policy, Subject, candidates_by_name};
use pgrx::iter::TableIterator;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::keys::HmacKey;

use super::catalog;
use super::source::{LOCK_WAIT, Source};
use crate::error::Error;
use crate::guc;
use crate::pg::query::query;
use crate::pg::row_set::RowSet;
use crate::pg::search_threads;
use crate::pg::text::{ServerText, Utf8};
use crate::wordlist;

/// Words that are read, and tried on a subject, at a time.
const WORDS_PER_READ: i64 = 10_000;

/// Iterations of one search, roughly: about half a second on a thread. Between two searches
/// there is a look at the clock.
const ITERATIONS_PER_SEARCH: usize = 1 << 24;

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
        let mut found = match relation {
            Some(relation) => guesses.rows(&source, relation, block.unwrap_or(0), &secrets)?,
            None => guesses.roles(&secrets)?,
        };
        let by_name = by_name == Some(true);
        let mut results = Vec::with_capacity(secrets.len());
        let mut unfinished = Vec::new();
        for (digest, last_word_id) in secrets {
            let Some(subject) = found.remove(&digest) else {
                results.push(Tried { digest, last_word_id, ..Tried::default() });
                continue;
            };
            if guesses.searched && Instant::now() >= until {
                break;
            }
            let mut tried = Tried {
                digest,
                last_word_id,
                tested: Some(0),
                subject: subject.name.clone(),
                check_ids: Vec::new(),
            };
            if by_name {
                guesses.by_name(&subject, &mut tried)?;
            } else if guesses.words(&subject, &mut tried)? {
                unfinished.push((results.len(), subject));
            }
            results.push(tried);
        }
        // Few secrets get more words than one reading of the list: a commit for each would cost too much.
        while !unfinished.is_empty() && Instant::now() < until {
            let mut still = Vec::new();
            for (index, subject) in unfinished {
                let Some(tried) = results.get_mut(index) else { continue };
                if Instant::now() >= until {
                    break;
                }
                if guesses.words(&subject, tried)? {
                    still.push((index, subject));
                }
            }
            unfinished = still;
        }
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
    words: Words,
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
            words: Words { after: None, list: Vec::new() },
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

    fn by_name(&mut self, subject: &Subject, tried: &mut Tried) -> Result<(), ErrorReport> {
        let candidates = candidates_by_name(subject, &self.policy);
        let hits = self.search(subject, &candidates, |candidate| candidate.check)?;
        tried.add(candidates.len(), hits);
        Ok(())
    }

    /// False where no word is left.
    fn words(&mut self, subject: &Subject, tried: &mut Tried) -> Result<bool, ErrorReport> {
        self.words.load(tried.last_word_id)?;
        let words = core::mem::take(&mut self.words.list);
        let before = tried.tested;
        for chunk in words.chunks(self.words_per_search(subject)) {
            // Nothing tried means that nothing was left to try, so the first chunk has to be.
            if tried.tested != before && Instant::now() >= self.until {
                break;
            }
            let hits = self.search(subject, chunk, |word| word.candidate.check)?;
            tried.add(chunk.len(), hits);
            tried.last_word_id = chunk.last().map_or(tried.last_word_id, |word| word.id);
        }
        self.words.list = words;
        Ok(tried.tested != before)
    }

    fn words_per_search(&self, subject: &Subject) -> usize {
        let iterations = subject.secret.as_ref().and_then(|secret| secret.iterations());
        let iterations = iterations.and_then(|n| usize::try_from(n).ok()).unwrap_or(1).max(1);
        (ITERATIONS_PER_SEARCH / iterations).max(16) * self.threads
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
            search_threads::run(search, self.threads)
        })?;
        let checks = password_audit::checks_of(candidates, &hits, check);
        Ok(checks.into_iter().map(|check| check.id).collect())
    }
}

impl Tried {
    fn add(&mut self, count: usize, hits: Vec<&'static str>) {
        self.tested = self.tested.map(|tested| tested + i64::try_from(count).unwrap_or(i64::MAX));
        self.check_ids.extend(hits);
    }
}

/// Words that were read last.
struct Words {
    after: Option<i32>,
    list: Vec<Word>,
}

struct Word {
    id: i32,
    candidate: Candidate,
}

impl AsRef<[u8]> for Word {
    fn as_ref(&self) -> &[u8] {
        self.candidate.as_ref()
    }
}

impl Words {
    fn load(&mut self, after: i32) -> Result<(), ErrorReport> {
        if self.after == Some(after) {
            return Ok(());
        }
        let list = query(WORDS, &[after.into(), WORDS_PER_READ.into()], |row| {
            let id = row.value("word_id")?;
            let check = password_audit::check(&row.text("check_id")?);
            let word: Vec<u8> = row.value("word")?;
            Ok(check.map(|check| Word { id, candidate: Candidate::new(check, &word) }))
        })?;
        self.list = list.into_iter().flatten().collect();
        self.after = Some(after);
        Ok(())
    }
}
