//! `Hi(password, salt, iterations)` of RFC 5802 section 2.2: PBKDF2-HMAC with one output block.

use std::num::NonZeroU32;
use std::ops::ControlFlow;

use hmac::digest::OutputSizeUser;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha256_lanes::{Batch, Pbkdf2};
use zeroize::Zeroizing;

use super::{Key, MAX_ITERATIONS_WITHOUT_TICK, MAX_KEY_LEN, TICK_EVERY, keyed};

/// SHA-256, on the quickest path of the CPU for one password.
pub(super) fn by_lanes<B>(
    password: &[u8],
    salt: &[u8],
    iterations: NonZeroU32,
    mut tick: impl FnMut() -> ControlFlow<B>,
) -> ControlFlow<B, Key> {
    let mut batch = Batch::new();
    batch.push(0, password, &Pbkdf2::new(salt, iterations));
    loop {
        batch.advance(TICK_EVERY);
        if let Some((_, key)) = batch.pop() {
            return ControlFlow::Continue(Key::copy(&*key));
        }
        tick()?;
    }
}

/// SHA-1 and SHA-512: by crate `pbkdf2`, unless the derivation is so
/// long that it must be possible to interrupt it.
pub(super) fn by_hash<D: EagerHash, B>(
    password: &[u8],
    salt: &[u8],
    iterations: NonZeroU32,
    tick: impl FnMut() -> ControlFlow<B>,
) -> ControlFlow<B, Key>
where
    Hmac<D>: Mac + KeyInit + Clone,
{
    if iterations.get() > MAX_ITERATIONS_WITHOUT_TICK {
        return with_tick::<D, B>(password, salt, iterations, tick);
    }
    ControlFlow::Continue(without_tick::<D>(password, salt, iterations))
}

fn without_tick<D: EagerHash>(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Key
where
    Hmac<D>: Mac,
{
    let mut key = Zeroizing::new([0; MAX_KEY_LEN]);
    let key = &mut key[..<Hmac<D> as OutputSizeUser>::output_size()];
    pbkdf2_hmac::<D>(password, salt, iterations.get(), key);
    Key::copy(key)
}

/// The same keys from a loop that calls `tick`.
fn with_tick<D: EagerHash, B>(
    password: &[u8],
    salt: &[u8],
    iterations: NonZeroU32,
    mut tick: impl FnMut() -> ControlFlow<B>,
) -> ControlFlow<B, Key>
where
    Hmac<D>: Mac + KeyInit + Clone,
{
    // Keyed once and cloned: the key schedule is half of the work of a short HMAC.
    let keyed = keyed::<D>(password);

    let mut u = Key::take(
        keyed.clone().chain_update(salt).chain_update([0, 0, 0, 1]).finalize().into_bytes(),
    );
    let mut hi = u.clone();
    for i in 1..iterations.get() {
        if i % TICK_EVERY == 0 {
            tick()?;
        }
        let step = keyed.clone().chain_update(u.as_bytes()).finalize().into_bytes();
        u.bytes[..step.len()].copy_from_slice(&step);
        for (out, step) in hi.bytes.iter_mut().zip(step) {
            *out ^= step;
        }
    }
    ControlFlow::Continue(hi)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use sha1::Sha1;
    use sha2::Sha512;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10))]

        #[test]
        fn both_ways_give_the_same_keys_at_the_border(
            password in prop::collection::vec(any::<u8>(), 0..300),
            salt in prop::collection::vec(any::<u8>(), 1..200),
            count in MAX_ITERATIONS_WITHOUT_TICK - 2..=MAX_ITERATIONS_WITHOUT_TICK + 2,
        ) {
            check(&password, &salt, count)?;
        }
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same_keys_for_short_derivations(
            password in prop::collection::vec(any::<u8>(), 0..300),
            salt in prop::collection::vec(any::<u8>(), 1..200),
            count in 1..50_u32,
        ) {
            check(&password, &salt, count)?;
        }
    }

    fn check(password: &[u8], salt: &[u8], count: u32) -> Result<(), TestCaseError> {
        let count = NonZeroU32::new(count).expect("positive");
        let go_on = || ControlFlow::<Infallible>::Continue(());
        let ControlFlow::Continue(own) = with_tick::<Sha1, _>(password, salt, count, go_on);
        let library = without_tick::<Sha1>(password, salt, count);
        prop_assert_eq!(own.as_bytes(), library.as_bytes());
        let ControlFlow::Continue(own) = with_tick::<Sha512, _>(password, salt, count, go_on);
        let library = without_tick::<Sha512>(password, salt, count);
        prop_assert_eq!(own.as_bytes(), library.as_bytes());
        Ok(())
    }
}
