//! Tries the words of the list on the secrets of one call.

use core::ops::Range;
use std::collections::HashMap;

use password_audit::{Candidate, Subject};
use pgrx::pg_sys::panic::ErrorReport;

use super::{Guesses, Tried, iterations};
use crate::pg::query::query;

/// Words that are read, and tried on a subject, at a time.
const WORDS_PER_READ: i64 = 10_000;

/// Candidates that fill the lanes of one thread: a search has no fewer.
const MIN_WORDS_PER_SEARCH: usize = 16;

const WORDS: &str = r"
SELECT w.word_id, w.check_id, w.word FROM scram_internal.candidate w
WHERE w.word_id > $1 ORDER BY w.word_id LIMIT $2";

impl Guesses {
    /// Tries the words after those that were tried last, until the time is over. Secrets that the time is
    /// not enough for have no result.
    pub(super) fn by_words(
        &mut self,
        secrets: &[(i64, i32)],
        mut found: HashMap<i64, Subject>,
    ) -> Result<Vec<Tried>, ErrorReport> {
        let mut results = Vec::with_capacity(secrets.len());
        let mut readers = Vec::with_capacity(secrets.len());
        for &(digest, last_word_id) in secrets {
            let tried = Tried { digest, last_word_id, ..Tried::default() };
            match found.remove(&digest) {
                Some(subject) => {
                    let tried = tried.none(&subject);
                    readers.push(Reader { subject, tried, state: State::Waiting });
                }
                None => results.push(tried),
            }
        }
        let mut words = Words { after: None, list: Vec::new() };
        // Few secrets get more words than one reading of the list: a commit for each would cost too much.
        while readers.iter().any(|reader| reader.state != State::Finished) && !self.is_over() {
            self.read_once(&mut readers, &mut words)?;
        }
        let begun = readers.into_iter().filter(|reader| reader.state != State::Waiting);
        results.extend(begun.map(|reader| reader.tried));
        Ok(results)
    }

    /// Tries one reading of the list on each secret. A search has words for as many secrets as it has time for.
    fn read_once(&mut self, readers: &mut [Reader], words: &mut Words) -> Result<(), ErrorReport> {
        // The reader whose turn it is, and the first word of the reading that it has not tried.
        let (mut turn, mut offset) = (0, 0);
        loop {
            turn += readers[turn..].iter().take_while(|r| r.state == State::Finished).count();
            let Some(reader) = readers.get(turn) else { return Ok(()) };
            if self.is_over() {
                return Ok(());
            }
            if offset == 0 {
                words.load(reader.tried.last_word_id)?;
            }
            let mut parts: Vec<(usize, Range<usize>)> = Vec::new();
            let mut left = self.iterations_per_search();
            while let Some(reader) = readers.get(turn) {
                if reader.state == State::Finished {
                    turn += 1;
                    continue;
                }
                // Another reading of the list has to wait for the next search.
                if offset == 0 && words.after != Some(reader.tried.last_word_id) {
                    break;
                }
                let cost = iterations(&reader.subject);
                let least = if parts.is_empty() { MIN_WORDS_PER_SEARCH } else { 0 };
                let end = (offset + (left / cost).max(least)).min(words.list.len());
                left = left.saturating_sub(cost.saturating_mul(end - offset));
                let is_at_end = end == words.list.len();
                if end > offset || is_at_end {
                    parts.push((turn, offset..end));
                }
                if !is_at_end {
                    offset = end;
                    break;
                }
                (turn, offset) = (turn + 1, 0);
            }
            self.try_parts(readers, &words.list, parts)?;
        }
    }

    /// Tries each part of the list on its reader's secret.
    fn try_parts(
        &mut self,
        readers: &mut [Reader],
        list: &[Word],
        parts: Vec<(usize, Range<usize>)>,
    ) -> Result<(), ErrorReport> {
        let guess = |(reader, part): &(usize, Range<usize>)| password_audit::Guesses {
            subject: &readers[*reader].subject,
            candidates: &list[part.clone()],
        };
        let guesses: Vec<_> = parts.iter().map(guess).collect();
        let hits = self.search(&guesses, |word| word.candidate.check)?;
        for ((reader, part), hits) in parts.into_iter().zip(hits) {
            let reader = &mut readers[reader];
            let words = &list[part];
            reader.tried.add(words.len(), hits);
            reader.state = if words.is_empty() { State::Finished } else { State::Begun };
            reader.tried.last_word_id = words.last().map_or(reader.tried.last_word_id, |w| w.id);
        }
        Ok(())
    }
}

/// A secret on which words are tried.
struct Reader {
    subject: Subject,
    tried: Tried,
    state: State,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    Begun,
    /// No word is left.
    Finished,
    Waiting,
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
