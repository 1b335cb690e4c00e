//! Derivations by each backend, and by the `pbkdf2` crate.

use std::num::NonZeroU32;

use sha2::Sha256;
use sha256_lanes::{Backend, Batch, Pbkdf2};

/// One derivation to run.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) password: Vec<u8>,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
}

impl Job {
    pub(crate) fn new(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        Self { password: password.to_vec(), salt: salt.to_vec(), iterations }
    }

    pub(crate) fn pbkdf2(&self) -> Pbkdf2<'_> {
        Pbkdf2::new(&self.salt, NonZeroU32::new(self.iterations).expect("positive"))
    }

    /// The key by RustCrypto's `pbkdf2`.
    pub(crate) fn reference(&self) -> [u8; 32] {
        pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(&self.password, &self.salt, self.iterations)
    }
}

/// Every way to derive: each backend by itself, then the mixture.
pub(crate) fn ways() -> Vec<(String, Option<Backend>)> {
    let forced = Backend::available().map(|backend| (backend.to_string(), Some(backend)));
    forced.chain([("mixed".to_owned(), None)]).collect()
}

pub(crate) fn batch(backend: Option<Backend>) -> Batch {
    backend.map_or_else(Batch::new, |backend| Batch::with_backend(backend).expect("available"))
}

/// The keys of all jobs. Before each filling of the lanes `fill` says up to how many derivations may run, and
/// before each advance `slice` says for how many iterations.
pub(crate) fn derive(
    mut batch: Batch,
    jobs: &[Job],
    mut fill: impl FnMut() -> usize,
    mut slice: impl FnMut() -> u32,
) -> Vec<[u8; 32]> {
    let mut keys = vec![None; jobs.len()];
    let (mut next, mut running) = (0, 0);
    while next < jobs.len() || running > 0 {
        let most = fill().max(1);
        while next < jobs.len() && running < most && batch.room() > 0 {
            batch.push(next, &jobs[next].password, &jobs[next].pbkdf2());
            (next, running) = (next + 1, running + 1);
        }
        batch.advance(slice().max(1));
        while let Some((tag, key)) = batch.pop() {
            assert!(keys[tag].replace(*key).is_none(), "one key for each job");
            running -= 1;
        }
    }
    assert!(batch.is_empty());
    keys.into_iter().map(|key| key.expect("a key")).collect()
}

/// Derives the jobs in every way, with as many lanes as there are.
pub(crate) fn check(jobs: &[Job], slice: u32) {
    let expected: Vec<_> = jobs.iter().map(Job::reference).collect();
    for (name, backend) in ways() {
        let keys = derive(batch(backend), jobs, || usize::MAX, || slice);
        assert_eq!(keys, expected, "{name}, {} passwords", jobs.len());
    }
}
