//! Passwords per second of each backend and of the `pbkdf2` crate, at 4096 iterations on one core.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use sha2::Sha256;
use sha256_lanes::{Backend, Batch, MAX_LANES, Pbkdf2};

const SALT: &[u8] = b"sixteen bytes!!!";
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("positive");

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    let passwords: Vec<String> = (0..MAX_LANES).map(|i| format!("password{i}")).collect();
    let plain = Pbkdf2::new(SALT, ITERATIONS);

    let mut group = criterion.benchmark_group("one password");
    group.throughput(Throughput::Elements(1));
    group.bench_function("pbkdf2 crate", |b| {
        b.iter(|| {
            pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(
                black_box(passwords[0].as_bytes()),
                SALT,
                ITERATIONS.get(),
            )
        });
    });
    group.bench_function("mixed", |b| b.iter(|| derive(Batch::new, &plain, &passwords[..1])));
    for backend in Backend::available().filter(|b| b.lanes() <= 4) {
        let batch = || Batch::with_backend(backend).expect("available");
        group.bench_function(backend.as_str(), |b| {
            b.iter(|| derive(batch, &plain, &passwords[..1]));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("16 passwords");
    group.throughput(Throughput::Elements(16));
    for backend in Backend::available() {
        let batch = || Batch::with_backend(backend).expect("available");
        group.bench_function(backend.as_str(), |b| b.iter(|| derive(batch, &plain, &passwords)));
    }
    group.finish();

    // Where the mixture turns from SHA-NI to a vector that isn't full.
    let mut group = criterion.benchmark_group("fewer passwords");
    for count in [2, 3, 4, 8, 12, 14, 15] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("mixed, {count}"), |b| {
            b.iter(|| derive(Batch::new, &plain, &passwords[..count]));
        });
    }
    group.finish();
    criterion.final_summary();
}

fn derive(batch: impl Fn() -> Batch, pbkdf2: &Pbkdf2<'_>, passwords: &[String]) -> u8 {
    let mut batch = batch();
    let mut passwords = black_box(passwords).iter();
    let mut all = 0;
    loop {
        while batch.room() > 0
            && let Some(password) = passwords.next()
        {
            batch.push(0, password.as_bytes(), pbkdf2);
        }
        if batch.is_empty() {
            return all;
        }
        batch.advance(1024);
        while let Some((_, key)) = batch.pop() {
            all ^= key[0];
        }
    }
}
