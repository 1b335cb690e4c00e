//! Rules on a password that a role is about to get, as plain text or as a ready-made hash.
//!
//! [`judge_plain`] and [`judge_hash`] return a [`Verdict`] for each of [`RULES`], in this order. No verdict
//! holds a password or says which candidate was the password.

use std::cell::Cell;
use std::convert::Infallible;

use scram_core::Password;
use scram_core::search::Search;

use crate::guess::{self, Candidate};
use crate::{Kind, Policy, Subject, check, scan_subject};

/// The ids of the rules. Part of the interface: none is renamed.
pub const RULES: [&str; 11] = [
    "md5_hash",
    "iterations_below_policy",
    "iterations_above_maximum",
    "scram_lax",
    "scram_malformed",
    "salt_short",
    "password_empty",
    "password_is_name",
    IN_WORDLIST,
    "password_short",
    REUSED,
];

/// The rule about earlier passwords, which the server's log names too.
pub const REUSED: &str = "password_reused";

const IN_WORDLIST: &str = "password_in_wordlist";

/// The answer of one rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// One of [`RULES`].
    pub rule: &'static str,
    /// Whether the password keeps the rule; `None` if the rule cannot be judged.
    pub ok: Option<bool>,
    /// Why it does not keep the rule, or why the rule cannot be judged; empty otherwise.
    pub detail: String,
}

/// A password that the server would hash.
#[derive(Debug)]
pub struct PlainText<'a> {
    /// The text as it was given, in the server's encoding.
    pub bytes: &'a [u8],
    /// How many characters it has.
    pub characters: usize,
    /// The lowest number of characters; 0 allows any.
    pub min_characters: usize,
    /// The hash that its form resembles; [`Kind::Unknown`] for a text that is no hash.
    pub kind: Kind,
    /// The length in bytes of the salt that the server would make; `None` if it would store an MD5 hash.
    pub salt_len: Option<usize>,
}

/// Whether the password is one of the role's last passwords.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum History {
    /// It is one of them.
    Holds,
    /// It is none of them.
    Lacks,
    /// The caller could not compare, for this reason.
    Unknown(&'static str),
}

/// Judges a plain text for this subject, whose secret is not looked at.
pub fn judge_plain(
    subject: &Subject,
    policy: &Policy,
    plain: &PlainText<'_>,
    words: &[&str],
    history: History,
) -> Vec<Verdict> {
    let prepared = Password::prepare(plain.bytes);
    // Ignores the case, because changing it makes no other password of a common one.
    let is = |candidate: &[u8]| {
        Password::prepare(candidate).as_bytes().eq_ignore_ascii_case(prepared.as_bytes())
    };
    let names = guess::candidates_by_name(subject, policy);
    let is_guess_of = |rule| names.iter().any(|name| name.check.id == rule && is(name.as_ref()));
    let minimum = policy.minimum();
    let iterations = plain.salt_len.map(|_| i64::from(policy.server_iterations));
    let judge = |rule: &'static str| match rule {
        "md5_hash" => plain.salt_len.is_none().then(|| "password_encryption is md5".to_owned()),
        "iterations_below_policy" => iterations
            .filter(|iterations| minimum.is_above_iterations(*iterations))
            .map(|got| format!("iteration count {got}, at least {} wanted", policy.min_iterations)),
        "iterations_above_maximum" => iterations.and_then(|got| above_maximum(got, policy)),
        "scram_malformed" => (plain.kind != Kind::Unknown).then(|| {
            format!("its form is {}; the server would take the text for a password", plain.kind)
        }),
        "salt_short" => plain
            .salt_len
            .filter(|len| minimum.is_above_salt(*len))
            .map(|len| format!("salt of {len} bytes, at least {} wanted", policy.salt_len)),
        "password_empty" | "password_is_name" => is_guess_of(rule).then(|| evidence(rule)),
        IN_WORDLIST => words.iter().any(|word| is(word.as_bytes())).then(|| evidence(rule)),
        "password_short" => (plain.characters < plain.min_characters)
            .then(|| format!("it has fewer than {} characters", plain.min_characters)),
        _ => None,
    };
    RULES
        .into_iter()
        .map(|rule| match rule {
            REUSED => reused(history),
            _ => verdict(rule, judge(rule)),
        })
        .collect()
}

/// Judges the subject's secret, which the server would store as it is. Tries passwords on it with the calling
/// thread: all that the name suggests, then the words until `is_over`. `tick` is called about every
/// millisecond and may unwind.
pub fn judge_hash(
    subject: &Subject,
    policy: &Policy,
    words: &[&str],
    history: History,
    is_over: impl Fn() -> bool,
    tick: impl Fn(),
) -> Vec<Verdict> {
    let hits = scan_subject(subject, policy);
    let found = |rule| hits.iter().find(|hit| hit.check.id == rule).map(|hit| hit.evidence.clone());
    let iterations = subject.secret.as_ref().and_then(|secret| secret.iterations());
    let guesses = Guesses::new(subject, policy, words, is_over, tick);
    RULES
        .into_iter()
        .map(|rule| match rule {
            "iterations_above_maximum" => {
                verdict(rule, iterations.and_then(|got| above_maximum(got.into(), policy)))
            }
            "password_empty" | "password_is_name" | IN_WORDLIST => guesses.verdict(rule),
            "password_short" => unknown(rule, "a hash does not tell the length of its password"),
            REUSED => reused(history),
            _ => verdict(rule, found(rule)),
        })
        .collect()
}

/// The result of the passwords that were tried on a hash.
struct Guesses {
    /// The rules that were hit.
    hits: Vec<&'static str>,
    is_tried: bool,
    words_tried: usize,
    words: usize,
}

impl Guesses {
    fn new(
        subject: &Subject,
        policy: &Policy,
        words: &[&str],
        is_over: impl Fn() -> bool,
        tick: impl Fn(),
    ) -> Self {
        let is_tried = guess::is_tried(subject, policy);
        let names = guess::candidates_by_name(subject, policy);
        let mut hits = hits(subject, policy, &names, |search| search.work(&tick));
        let mut words_tried = 0;
        if let Some(check) = check(IN_WORDLIST).filter(|_| is_tried && !is_over()) {
            let candidates: Vec<_> =
                words.iter().map(|word| Candidate::new(check, word.as_bytes())).collect();
            let stopped = Cell::new(false);
            let tried = Cell::new(0);
            hits.extend(self::hits(subject, policy, &candidates, |search| {
                search.work(|| {
                    tick();
                    if is_over() {
                        stopped.set(true);
                        search.stop();
                    }
                });
                tried.set(tried.get() + search.tried());
            }));
            words_tried = if stopped.get() { tried.get() } else { words.len() };
        }
        Self { hits, is_tried, words_tried, words: words.len() }
    }

    fn verdict(&self, rule: &'static str) -> Verdict {
        if self.hits.contains(&rule) {
            return verdict(rule, Some(evidence(rule)));
        }
        if !self.is_tried {
            return unknown(rule, "no password is tried on this hash");
        }
        if rule == IN_WORDLIST && self.words_tried < self.words {
            let (tried, words) = (self.words_tried, self.words);
            return unknown(
                rule,
                &format!("{tried} of {words} words were tried in the time given"),
            );
        }
        verdict(rule, None)
    }
}

/// The checks of the candidates that are the password.
fn hits(
    subject: &Subject,
    policy: &Policy,
    candidates: &[Candidate],
    search: impl Fn(&Search<'_, Candidate>),
) -> Vec<&'static str> {
    let found = guess::guess(&[guess::Guesses { subject, candidates }], policy, |run| {
        search(run);
        Ok::<_, Infallible>(())
    });
    let Ok(found) = found;
    let checks = guess::checks_of(candidates, &found.concat(), |candidate| candidate.check);
    checks.into_iter().map(|check| check.id).collect()
}

fn above_maximum(iterations: i64, policy: &Policy) -> Option<String> {
    let max = policy.max_iterations;
    (iterations > i64::from(max))
        .then(|| format!("iteration count {iterations}, at most {max} wanted"))
}

/// The evidence of a check that tries passwords.
fn evidence(rule: &str) -> String {
    match rule {
        "password_is_name" => "the password is the role's name or a simple variation of it",
        _ => check(rule).and_then(|check| check.guess_evidence()).unwrap_or_default(),
    }
    .to_owned()
}

fn verdict(rule: &'static str, broken: Option<String>) -> Verdict {
    Verdict { rule, ok: Some(broken.is_none()), detail: broken.unwrap_or_default() }
}

fn unknown(rule: &'static str, why: &str) -> Verdict {
    Verdict { rule, ok: None, detail: why.to_owned() }
}

fn reused(history: History) -> Verdict {
    match history {
        History::Holds => verdict(REUSED, Some("the role has had this password".to_owned())),
        History::Lacks => verdict(REUSED, None),
        History::Unknown(why) => unknown(REUSED, why),
    }
}
