//! The search over candidates: places, preparation, threads, stopping.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use proptest::prelude::*;
use scram_core::search::{Md5Hash, Search, Target, Trial};
use scram_core::{Mechanism, Parameters, Password, Verifier};

const MECHANISMS: [Mechanism; 3] =
    [Mechanism::ScramSha1, Mechanism::ScramSha256, Mechanism::ScramSha512];

fn verifier(mechanism: Mechanism, password: &str, iterations: u32) -> Verifier {
    let iterations = NonZeroU32::new(iterations).expect("positive");
    let parameters = Parameters::new(mechanism, iterations, b"sixteen bytes!!!".to_vec());
    Verifier::derive(parameters.expect("in range"), &Password::prepare(password.as_bytes()), || ())
}

fn found<C: AsRef<[u8]> + Sync>(
    target: Target<'_>,
    candidates: &[C],
    threads: usize,
) -> Option<usize> {
    let search = Search::new(target, candidates);
    run(&search, threads);
    if search.found().is_none() {
        assert_eq!(search.tried(), candidates.len());
    }
    search.found()
}

fn run<C: AsRef<[u8]> + Sync>(search: &Search<'_, C>, threads: usize) {
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| search.work(|| ()));
        }
        search.work(|| ());
    });
}

#[test]
fn every_place_of_every_count() {
    for mechanism in MECHANISMS {
        let verifier = verifier(mechanism, "pencil", 2);
        for count in 0..=70 {
            let mut candidates: Vec<_> = (0..count).map(|i| format!("wrong {i}")).collect();
            for threads in [1, 2, 3] {
                assert_eq!(found(Target::Scram(&verifier), &candidates, threads), None);
            }
            for position in 0..count {
                let wrong = std::mem::replace(&mut candidates[position], "pencil".to_owned());
                let hit = found(Target::Scram(&verifier), &candidates, 1 + position % 3);
                assert_eq!(hit, Some(position), "{mechanism} {count}");
                candidates[position] = wrong;
            }
        }
    }
}

/// `mongo-sha1-u_ser` and `mongo-sha1-user` of `testdata/vectors.json`.
#[test]
fn mongodbs_digest_of_name_and_password() {
    for (user, password, text) in [
        (
            "u:ser",
            "p\u{E4}ss",
            "SCRAM-SHA-1$10000:btrDxb03WzIuH3plODCQlg==$4zZLyUVKWvQOHLGUIYiZQRBy2bE=:HxnE6t+ToUM8EB5y3zgtUBB7quY=",
        ),
        (
            "user",
            "pencil",
            "SCRAM-SHA-1$10000:O9rxC4kSwjMvCjP3iq4HNg==$i1Bvf345utyOqbNnnyIFRNNYQ6o=:3S0CKuR0H93PxYClPHV6YkGNco8=",
        ),
    ] {
        let verifier: Verifier = text.parse().expect("a verifier");
        let target =
            |user: &'static str| Target::Mongodb { verifier: &verifier, user: user.as_bytes() };
        for threads in [1, 2] {
            assert_eq!(
                found(target(user), &["", "pen", password, "paper"], threads),
                Some(2),
                "{user}"
            );
            assert_eq!(found(target("other"), &["", password], threads), None, "{user}");
            assert_eq!(found(Target::Scram(&verifier), &["", password], threads), None, "{user}");
        }
    }
}

#[test]
fn the_lowest_place_wins() {
    let verifier = verifier(Mechanism::ScramSha256, "pencil", 50);
    for first in [0, 15, 16, 17, 99] {
        let mut candidates = vec!["paper"; 100];
        for position in [first, 99, 60.max(first), 40.max(first)] {
            candidates[position] = "pencil";
        }
        for threads in 1..=4 {
            assert_eq!(found(Target::Scram(&verifier), &candidates, threads), Some(first));
        }
    }
}

#[test]
fn candidates_are_prepared_as_the_server_does() {
    // The password as typed, and as it was set.
    let cases = [
        ("I\u{AD}X", "IX"),
        ("\u{2168}", "IX"),
        ("a\u{A0}b", "a b"),
        ("\u{1F600}", "\u{1F600}"),
        (&*"x".repeat(500), &*"x".repeat(500)),
        ("", ""),
    ];
    for mechanism in MECHANISMS {
        for (typed, set) in cases {
            let verifier = verifier(mechanism, set, 3);
            let hit = found(Target::Scram(&verifier), &["a", typed, "b"], 1);
            assert_eq!(hit, Some(1), "{mechanism} {typed:?}");
        }
    }
    // Bytes that are no UTF-8 are taken as they are.
    let parameters = Parameters::new(Mechanism::ScramSha256, NonZeroU32::MIN, vec![1]);
    let password = Password::prepare(b"\xff\xfe");
    let verifier = Verifier::derive(parameters.expect("in range"), &password, || ());
    let candidates: [&[u8]; 3] = [b"\xff", b"\xff\xfe", b"\xfe"];
    assert_eq!(found(Target::Scram(&verifier), &candidates, 2), Some(1));
}

/// A verifier put together from the keys of two passwords fits neither.
#[test]
fn both_keys_must_match() {
    for mechanism in MECHANISMS {
        let (pen, paper) = (verifier(mechanism, "pen", 4), verifier(mechanism, "paper", 4));
        let (pen, paper) = (pen.to_string(), paper.to_string());
        let mixed = format!(
            "{}:{}",
            &pen[..pen.rfind(':').expect("a colon")],
            paper.rsplit(':').next().expect("a key")
        );
        let mixed: Verifier = mixed.parse().expect("a verifier");
        assert_eq!(found(Target::Scram(&mixed), &["pen", "paper"], 1), None);
    }
}

#[test]
fn md5() {
    // SELECT 'md5' || md5('pencil' || 'alice')
    let reference = "md5ee69efad287c7423caf0b3229d71f567".to_owned();
    let hash = Md5Hash::new(&reference, b"alice").expect("a hash");
    let mut candidates = vec!["paper"; 2000];
    assert_eq!(found(Target::Md5(&hash), &candidates, 2), None);
    for position in [0, 511, 512, 1999] {
        candidates[position] = "pencil";
        assert_eq!(found(Target::Md5(&hash), &candidates, 2), Some(position));
        candidates[position] = "paper";
    }
    let other = Md5Hash::new(&reference, b"bob").expect("a hash");
    assert_eq!(found(Target::Md5(&other), &["pencil"], 1), None);

    for text in ["", "md5", &reference.to_uppercase(), &reference[..34], &format!("{reference}0")] {
        assert!(Md5Hash::new(text, b"alice").is_none(), "{text}");
    }
    assert_eq!(format!("{hash:?}"), "Md5Hash { .. }");
}

/// Secrets of every kind, with salts and counts of their own, in one search that finds each hit.
#[test]
fn many_secrets_in_one_search() {
    let hash = Md5Hash::new("md5ee69efad287c7423caf0b3229d71f567", b"alice").expect("a hash");
    let verifiers: Vec<_> = (0..60_u8)
        .map(|i| {
            let mechanism = MECHANISMS[usize::from(i % 7 == 0) + usize::from(i % 11 != 0)];
            let iterations = NonZeroU32::new(1 + u32::from(i) * 37 % 900).expect("positive");
            let salt = vec![i; 1 + usize::from(i) * 5];
            let parameters = Parameters::new(mechanism, iterations, salt).expect("in range");
            Verifier::derive(
                parameters,
                &Password::prepare(format!("p{}", i % 9).as_bytes()),
                || (),
            )
        })
        .collect();
    let words: Vec<_> = (0..12).map(|i| format!("p{i}")).collect();
    let with_pencil = [&words[..], &["pencil".to_owned(), "pencil".to_owned()]].concat();
    for threads in 1..=4 {
        let mut trials = vec![Trial { target: Target::Md5(&hash), candidates: &with_pencil[..] }];
        let mut hits = vec![(0, 12), (0, 13)];
        for (i, verifier) in verifiers.iter().enumerate() {
            // Some without a hit, some without a candidate.
            let candidates = &words[..i % 13];
            trials.push(Trial { target: Target::Scram(verifier), candidates });
            if i % 9 < candidates.len() {
                hits.push((i + 1, i % 9));
            }
        }
        let count = trials.iter().map(|trial| trial.candidates.len()).sum::<usize>();
        let search = Search::all(trials);
        run(&search, threads);
        assert_eq!(search.hits(), hits, "{threads} threads");
        assert_eq!(search.tried(), count);
    }
    let nothing: Search<'_, &str> = Search::all(Vec::new());
    run(&nothing, 2);
    assert_eq!((nothing.hits(), nothing.found(), nothing.threads(4)), (Vec::new(), None, 1));
}

#[test]
fn threads_that_pay() {
    let cases = [
        // candidates, iterations, limit, threads
        (0, 4096, 8, 1),
        (16, 4096, 8, 1),
        (17, 4096, 8, 2),
        (1000, 4096, 8, 8),
        (1000, 4096, 64, 63),
        (1000, 1, 8, 1),
        (1000, 4096, 1, 1),
        (3, 1_000_000, 8, 1),
    ];
    for (candidates, iterations, limit, threads) in cases {
        let text = verifier(Mechanism::ScramSha256, "pencil", 1).to_string();
        let text = text.replace("$1:", &format!("${iterations}:"));
        let verifier: Verifier = text.parse().expect("a verifier");
        let candidates = vec!["a"; candidates];
        let search = Search::new(Target::Scram(&verifier), &candidates);
        assert_eq!(search.threads(limit), threads, "{} {iterations} {limit}", candidates.len());
    }
    let candidates = vec!["a"; 100_000];
    let hash = Md5Hash::new(&format!("md5{}", "0".repeat(32)), b"alice").expect("a hash");
    assert_eq!(Search::new(Target::Md5(&hash), &candidates).threads(64), 24);
    assert_eq!(Search::new(Target::Md5(&hash), &candidates[..100]).threads(64), 1);
}

/// Every thread returns soon after a stop, although the derivations would take hours.
#[test]
fn a_stop_ends_long_derivations() {
    for mechanism in MECHANISMS {
        let mut text = verifier(mechanism, "pencil", 1).to_string();
        text = text.replace("$1:", "$2000000000:");
        let verifier: Verifier = text.parse().expect("a verifier");
        let search = Search::new(Target::Scram(&verifier), &["a"; 40]);
        thread::scope(|scope| {
            let ticks = Cell::new(0);
            scope.spawn(|| search.work(|| ()));
            search.work(|| {
                ticks.set(ticks.get() + 1);
                if ticks.get() == 50 {
                    search.stop();
                }
            });
            assert!(ticks.get() >= 50);
        });
        assert_eq!((search.found(), search.tried()), (None, 0), "{mechanism}");
        search.work(|| ());
        assert_eq!(search.tried(), 0);
    }
}

#[test]
fn a_tick_may_unwind() {
    let verifier = verifier(Mechanism::ScramSha256, "pencil", 2);
    let search = Search::new(Target::Scram(&verifier), &["a", "pencil"]);
    let ticks = Cell::new(0);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        search.work(|| {
            ticks.set(ticks.get() + 1);
            if ticks.get() == 3 {
                std::panic::resume_unwind(Box::new("cancelled"));
            }
        });
    }));
    assert!(unwound.is_err());
    assert_eq!(search.tried(), 0);
}

#[test]
fn nothing_secret_is_printed() {
    let verifier = verifier(Mechanism::ScramSha256, "pencil", 1);
    let search = Search::new(Target::Scram(&verifier), &["pencil"]);
    let trial = Trial { target: Target::Scram(&verifier), candidates: &["pencil"] };
    let shown = format!("{search:?} {trial:?}");
    assert!(!shown.contains("pencil"), "{shown}");
}

proptest! {
    /// The hits of many secrets are those of one call of `verify` for each candidate.
    #[test]
    fn all_as_verify(
        secrets in prop::collection::vec((0_usize..4, 1_u32..200, prop::collection::vec(0_usize..4, 0..9)), 0..12),
        threads in 1_usize..4,
    ) {
        let words = ["", "a", "b", "\u{2168}"];
        let verifiers: Vec<_> = secrets
            .iter()
            .map(|(word, iterations, _)| verifier(Mechanism::ScramSha256, words[*word], *iterations))
            .collect();
        let candidates: Vec<Vec<_>> =
            secrets.iter().map(|(_, _, tried)| tried.iter().map(|i| words[*i]).collect()).collect();
        let mut expected = Vec::new();
        for (i, (verifier, candidates)) in verifiers.iter().zip(&candidates).enumerate() {
            for (j, candidate) in candidates.iter().enumerate() {
                if verifier.verify(&Password::prepare(candidate.as_bytes()), || ()) {
                    expected.push((i, j));
                }
            }
        }
        let mut trials = Vec::new();
        for (verifier, candidates) in verifiers.iter().zip(&candidates) {
            trials.push(Trial { target: Target::Scram(verifier), candidates: &candidates[..] });
        }
        let search = Search::all(trials);
        run(&search, threads);
        prop_assert_eq!(search.hits(), expected);
    }

    /// The result is the same as that of one call of `verify` for each candidate.
    #[test]
    fn as_verify(
        candidates in prop::collection::vec("\\PC{0,3}", 0..40),
        pick in any::<prop::sample::Index>(),
        threads in 1_usize..4,
    ) {
        let password = if candidates.is_empty() { "x" } else { &candidates[pick.index(candidates.len())] };
        let verifier = verifier(Mechanism::ScramSha256, password, 2);
        let expected = candidates
            .iter()
            .position(|c| verifier.verify(&Password::prepare(c.as_bytes()), || ()));
        prop_assert_eq!(found(Target::Scram(&verifier), &candidates, threads), expected);
    }
}
