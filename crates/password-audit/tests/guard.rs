//! The rules of the guard on plain text and on ready-made hashes.

mod common;

use std::cell::Cell;

use password_audit::guard::{History, PlainText, RULES, Verdict, judge_hash, judge_plain};
use password_audit::{Kind, Policy, StoredSecret};

use common::{SALT, default_policy, md5_of, plain, policy, role, strict};

const GOOD: &str = "kT4-uvw-9182-xyz";
const WORDS: &[&str] = &["123456", "football", "letmein"];

fn text(bytes: &str) -> PlainText<'_> {
    PlainText {
        bytes: bytes.as_bytes(),
        characters: bytes.chars().count(),
        min_characters: 12,
        kind: Kind::Unknown,
        salt_len: Some(16),
    }
}

fn broken(verdicts: &[Verdict]) -> Vec<&'static str> {
    let rules: Vec<_> = verdicts.iter().map(|verdict| verdict.rule).collect();
    assert_eq!(rules, RULES);
    verdicts.iter().filter(|v| v.ok == Some(false)).map(|v| v.rule).collect()
}

fn plain_text(plain: &PlainText<'_>, policy: &Policy) -> Vec<&'static str> {
    broken(&judge_plain(&role("alice", None), policy, plain, WORDS, History::Lacks))
}

fn hash(secret: Option<StoredSecret>, policy: &Policy) -> Vec<Verdict> {
    judge_hash(&role("alice", secret), policy, WORDS, History::Lacks, || false, || ())
}

#[test]
fn plain_texts() {
    let policy = default_policy();
    for (password, rules) in [
        (GOOD, &[][..]),
        ("", &["password_empty", "password_short"]),
        ("Alice2026", &["password_is_name", "password_short"]),
        ("ecila", &["password_is_name", "password_short"]),
        ("FOOTBALL", &["password_in_wordlist", "password_short"]),
        ("äöüäöüäöüäöü", &[]),
        ("äöüäöüäöüäö", &["password_short"]),
    ] {
        assert_eq!(plain_text(&text(password), &policy), rules, "{password}");
    }
    let any_length = PlainText { min_characters: 0, ..text("x") };
    assert_eq!(plain_text(&any_length, &policy), [""; 0]);
    let md5 = PlainText { salt_len: None, ..text(GOOD) };
    assert_eq!(plain_text(&md5, &policy), ["md5_hash"]);
    let broken_hash = PlainText { kind: Kind::ScramMalformed, ..text(GOOD) };
    assert_eq!(plain_text(&broken_hash, &policy), ["scram_malformed"]);
    let long_salts = Policy { salt_len: 32, min_iterations: 10_000, ..default_policy() };
    assert_eq!(plain_text(&text(GOOD), &long_salts), ["iterations_below_policy", "salt_short"]);
    let few = Policy { max_iterations: 4000, min_iterations: 1, ..default_policy() };
    assert_eq!(plain_text(&text(GOOD), &few), ["iterations_above_maximum"]);
}

#[test]
fn hashes() {
    let policy = policy();
    for (secret, rules) in [
        (strict(GOOD, 4096, SALT), &[][..]),
        (strict(GOOD, 4095, SALT), &["iterations_below_policy"]),
        (strict("alice", 6001, SALT), &["iterations_above_maximum"]),
        (strict(GOOD, 4096, b"salt"), &["salt_short"]),
        (strict("", 4096, SALT), &["password_empty"]),
        (strict("alice!", 4096, SALT), &["password_is_name"]),
        (strict("letmein", 4096, SALT), &["password_in_wordlist"]),
        (plain(&md5_of(GOOD, "alice")), &["md5_hash"]),
        (plain(&md5_of("football", "alice")), &["md5_hash", "password_in_wordlist"]),
    ] {
        assert_eq!(broken(&hash(secret, &policy)), rules);
    }
    // No key is derived above the maximum, so these rules cannot be judged.
    let verdicts = hash(strict("alice", 6001, SALT), &policy);
    let unknown: Vec<_> = verdicts.iter().filter(|v| v.ok.is_none()).map(|v| v.rule).collect();
    let expected = ["password_empty", "password_is_name", "password_in_wordlist", "password_short"];
    assert_eq!(unknown, expected);
}

#[test]
fn the_time_ends_the_words_only() {
    let judge = |password, time: usize| {
        let looks = Cell::new(0);
        let is_over = || {
            looks.set(looks.get() + 1);
            looks.get() > time
        };
        let subject = role("alice", strict(password, 4096, SALT));
        let words: Vec<_> = std::iter::repeat_n("another", 500).chain(["football"]).collect();
        let verdicts =
            judge_hash(&subject, &policy(), &words, History::Unknown("off"), is_over, || ());
        let ok = |rule| verdicts.iter().find(|verdict| verdict.rule == rule).expect("a rule").ok;
        [ok("password_is_name"), ok("password_in_wordlist")]
    };
    assert_eq!(judge("alice", 0), [Some(false), None]);
    assert_eq!(judge("football", 0), [Some(true), None]);
    assert_eq!(judge("football", 3), [Some(true), None]);
    assert_eq!(judge("football", usize::MAX), [Some(true), Some(false)]);
    assert_eq!(judge(GOOD, usize::MAX), [Some(true), Some(true)]);
}

#[test]
fn earlier_passwords() {
    let judge = |history| {
        let verdicts = judge_plain(&role("alice", None), &policy(), &text(GOOD), WORDS, history);
        verdicts.into_iter().next_back().expect("a rule").ok
    };
    assert_eq!(judge(History::Holds), Some(false));
    assert_eq!(judge(History::Lacks), Some(true));
    assert_eq!(judge(History::Unknown("off")), None);
}

#[test]
fn no_verdict_holds_a_password() {
    for password in ["alice2026", "football"] {
        let subject = role("alice", None);
        let verdicts = judge_plain(&subject, &policy(), &text(password), WORDS, History::Holds);
        assert!(verdicts.iter().all(|verdict| !format!("{verdict:?}").contains(password)));
    }
}
