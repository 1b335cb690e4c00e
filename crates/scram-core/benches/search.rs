//! Candidates per second on one core and on two, and one password of each mechanism, of which
//! SCRAM-SHA-256 has a plain loop over one stream to compare with.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::thread;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use scram_core::search::{Md5Hash, Search, Target, Trial};
use scram_core::{Mechanism, Parameters, Password, Verifier};
use sha256_lanes::{Batch, Pbkdf2};

const SALT: &[u8] = b"sixteen bytes!!!";
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("positive");

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10)
        .configure_from_args();
    let parameters = Parameters::new(Mechanism::ScramSha256, ITERATIONS, SALT.to_vec());
    let password = Password::prepare(b"pencil");
    let verifier = Verifier::derive(parameters.expect("in range"), &password, || ());

    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Elements(1));
    group.bench_function("raw loop", |b| {
        let pbkdf2 = Pbkdf2::new(SALT, ITERATIONS);
        b.iter(|| pbkdf2.derive(black_box(b"pencil"), ITERATIONS, || ()));
    });
    for mechanism in Mechanism::ALL {
        let parameters = Parameters::new(mechanism, ITERATIONS, SALT.to_vec()).expect("in range");
        let verifier = Verifier::derive(parameters, &password, || ());
        group.bench_function(format!("verify, {mechanism}"), |b| {
            b.iter(|| verifier.verify(black_box(&password), || ()));
        });
    }
    group.finish();

    let words: Vec<String> = (0..1000).map(|i| format!("candidate {i}")).collect();
    let mut group = criterion.benchmark_group("1000 candidates");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("raw loop", |b| {
        let pbkdf2 = Pbkdf2::new(SALT, ITERATIONS);
        b.iter(|| {
            let mut batch = Batch::new();
            let mut words = black_box(&words).iter();
            loop {
                while batch.room() > 0
                    && let Some(word) = words.next()
                {
                    batch.push(0, word.as_bytes(), &pbkdf2);
                }
                if batch.is_empty() {
                    break;
                }
                batch.advance(u32::MAX);
                while let Some(key) = batch.pop() {
                    black_box(key);
                }
            }
        });
    });
    for threads in [1, 2] {
        group.bench_function(format!("search, {threads} threads"), |b| {
            b.iter(|| search(Target::Scram(&verifier), &words, threads));
        });
    }
    group.finish();

    // Candidates by name on many roles: one search for all, and one search for each as a comparison.
    let verifiers: Vec<Verifier> = (0..40_u8)
        .map(|i| {
            let salt = [SALT, &[i]].concat();
            let parameters = Parameters::new(Mechanism::ScramSha256, ITERATIONS, salt);
            Verifier::derive(parameters.expect("in range"), &password, || ())
        })
        .collect();
    let guesses = &words[..25];
    let mut group = criterion.benchmark_group("40 verifiers, 25 candidates each");
    group.throughput(Throughput::Elements(1000));
    for threads in [1, 2] {
        group.bench_function(format!("one search, {threads} threads"), |b| {
            b.iter(|| {
                let trial = |v| Trial { target: Target::Scram(v), candidates: black_box(guesses) };
                run(&Search::all(verifiers.iter().map(trial).collect()), threads).hits().len()
            });
        });
        group.bench_function(format!("a search for each, {threads} threads"), |b| {
            b.iter(|| {
                let found = |v| search(Target::Scram(v), guesses, threads);
                verifiers.iter().filter_map(found).count()
            });
        });
    }
    group.finish();

    let words: Vec<String> = (0..1_000_000).map(|i| format!("candidate{i}")).collect();
    let hash = Md5Hash::new("md500000000000000000000000000000000", b"alice").expect("a hash");
    let mut group = criterion.benchmark_group("1000000 candidates");
    group.throughput(Throughput::Elements(1_000_000));
    group.bench_function("md5", |b| b.iter(|| search(Target::Md5(&hash), &words, 1)));
    group.finish();
    criterion.final_summary();
}

fn search(target: Target<'_>, words: &[String], threads: usize) -> Option<usize> {
    run(&Search::new(target, black_box(words)), threads).found()
}

fn run<'s, 'a>(search: &'s Search<'a, String>, threads: usize) -> &'s Search<'a, String> {
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| search.work(|| ()));
        }
        search.work(|| ());
    });
    search
}
