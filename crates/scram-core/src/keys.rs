//! The key schedule of RFC 5802 section 3, for each hash function.

mod hi;

use std::fmt;
use std::num::NonZeroU32;
use std::ops::ControlFlow;

use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Mechanism;
use crate::saslprep::Password;

/// Iterations between two calls of the `tick` given to [`SaltedPassword::derive`]: well under a
/// millisecond.
pub const TICK_EVERY: u32 = 1024;

/// The highest iteration count of SCRAM-SHA-1 and SCRAM-SHA-512 that is derived without a `tick`, by
/// crate `pbkdf2`.
///
/// The derivation cannot be interrupted, so it must end within 100 ms on a slow CPU. On an EPYC this
/// count takes 3 ms with SHA-1 and 10 to 18 ms with SHA-512; a CPU may be five times as slow.
pub const MAX_ITERATIONS_WITHOUT_TICK: u32 = 20_000;

/// The longest key of any mechanism, in bytes.
pub const MAX_KEY_LEN: usize = 64;

/// Runs `$body` with `$hash` as the hash function of `$mechanism`.
macro_rules! with_hash {
    ($mechanism:expr, $hash:ident => $body:expr) => {
        match $mechanism {
            Mechanism::ScramSha1 => {
                type $hash = Sha1;
                $body
            }
            Mechanism::ScramSha256 => {
                type $hash = Sha256;
                $body
            }
            Mechanism::ScramSha512 => {
                type $hash = Sha512;
                $body
            }
        }
    };
}

/// A key, proof or signature of a mechanism: 20, 32 or 64 bytes, wiped when dropped.
///
/// Compared in constant time only ([`ConstantTimeEq`]); it has no `PartialEq` on purpose.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    bytes: [u8; MAX_KEY_LEN],
    len: usize,
}

impl Key {
    /// Takes the bytes of a key of this mechanism; `None` when the length is another one.
    pub fn new(mechanism: Mechanism, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == mechanism.key_len()).then(|| Self::copy(bytes))
    }

    /// `H(self)`, in the mechanism's hash: `StoredKey` of a `ClientKey`.
    #[must_use]
    pub fn hash(&self, mechanism: Mechanism) -> Self {
        with_hash!(mechanism, D => Self::take(D::digest(self.as_bytes())))
    }

    /// `HMAC(self, part₁ ‖ part₂ ‖ …)`.
    #[must_use]
    pub fn hmac(&self, mechanism: Mechanism, parts: &[&[u8]]) -> Self {
        with_hash!(mechanism, D => Self::take(keyed_hmac::<D>(self.as_bytes(), parts)))
    }

    /// `self XOR other`, of the same mechanism: `ClientProof` of a `ClientKey` and back.
    #[must_use]
    pub fn xor(&self, other: &Self) -> Self {
        let mut key = self.clone();
        for (byte, other) in key.bytes.iter_mut().zip(other.bytes) {
            *byte ^= other;
        }
        key
    }

    /// The bytes, for printing into a verifier or a message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Copies the output of a hash function and wipes it.
    fn take(mut output: impl AsMut<[u8]>) -> Self {
        let output = output.as_mut();
        let key = Self::copy(output);
        output.zeroize();
        key
    }

    /// Copies at most [`MAX_KEY_LEN`] bytes: the output of a hash function or a derivation.
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        let len = bytes.len().min(MAX_KEY_LEN);
        let mut key = Self { bytes: [0; MAX_KEY_LEN], len };
        key.bytes[..len].copy_from_slice(&bytes[..len]);
        key
    }
}

impl ConstantTimeEq for Key {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.len.ct_eq(&other.len)
    }
}

/// A key for many HMACs with SHA-256. The padded key is hashed once, which halves the time of a short message.
/// Wiped when dropped.
#[derive(Clone)]
pub struct HmacKey(Hmac<Sha256>);

impl HmacKey {
    /// Prepares a key.
    pub fn new(key: &Key) -> Self {
        Self(keyed::<Sha256>(key.as_bytes()))
    }

    /// `HMAC(key, part₁ ‖ part₂ ‖ …)`, 32 bytes.
    #[must_use]
    pub fn hmac(&self, parts: &[&[u8]]) -> Key {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        Key::take(mac.finalize().into_bytes())
    }
}

/// Never prints key material.
impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HmacKey").finish_non_exhaustive()
    }
}

/// Never prints key material.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("len", &self.len).finish_non_exhaustive()
    }
}

/// `SaltedPassword`, the root of all keys; as secret as the password itself.
pub struct SaltedPassword {
    mechanism: Mechanism,
    key: Key,
}

impl SaltedPassword {
    /// `Hi(password, salt, iterations)`: PBKDF2-HMAC with one output block.
    ///
    /// `salt` is raw bytes, not Base64. The cost is two compressions of the hash function for each
    /// iteration.
    ///
    /// `tick` is called every [`TICK_EVERY`] iterations, so that a caller with a deadline can
    /// unwind out of a long derivation; the keys made so far are wiped. It is never called if the
    /// count is not above [`TICK_EVERY`], or for SCRAM-SHA-1 and SCRAM-SHA-512 not above
    /// [`MAX_ITERATIONS_WITHOUT_TICK`].
    ///
    /// It cannot fail: `iterations` is positive by its type and HMAC takes a key of any length.
    ///
    /// Source: RFC 5802 section 2.2.
    pub fn derive(
        mechanism: Mechanism,
        password: &Password,
        salt: &[u8],
        iterations: NonZeroU32,
        mut tick: impl FnMut(),
    ) -> Self {
        let never = || {
            tick();
            ControlFlow::<std::convert::Infallible>::Continue(())
        };
        match Self::derive_until(mechanism, password, salt, iterations, never) {
            ControlFlow::Continue(salted) => salted,
        }
    }

    /// Like [`derive`](Self::derive), but stops when `tick` returns `Break`.
    pub(crate) fn derive_until<B>(
        mechanism: Mechanism,
        password: &Password,
        salt: &[u8],
        iterations: NonZeroU32,
        tick: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B, Self> {
        let password = password.as_bytes();
        let key = match mechanism {
            Mechanism::ScramSha1 => hi::by_hash::<Sha1, B>(password, salt, iterations, tick),
            Mechanism::ScramSha256 => hi::by_lanes(password, salt, iterations, tick),
            Mechanism::ScramSha512 => hi::by_hash::<Sha512, B>(password, salt, iterations, tick),
        }?;
        ControlFlow::Continue(Self { mechanism, key })
    }

    /// A key of SCRAM-SHA-256 that was derived elsewhere.
    pub(crate) fn from_sha256(key: &[u8; 32]) -> Self {
        Self { mechanism: Mechanism::ScramSha256, key: Key::copy(key) }
    }

    /// `ClientKey := HMAC(SaltedPassword, "Client Key")`: lets its holder log in.
    pub fn client_key(&self) -> Key {
        self.key.hmac(self.mechanism, &[b"Client Key"])
    }

    /// `StoredKey := H(ClientKey)`.
    pub fn stored_key(&self) -> Key {
        self.client_key().hash(self.mechanism)
    }

    /// `ServerKey := HMAC(SaltedPassword, "Server Key")`.
    pub fn server_key(&self) -> Key {
        self.key.hmac(self.mechanism, &[b"Server Key"])
    }
}

/// `HMAC(key, parts)`, as the hash function's own output type.
fn keyed_hmac<D: EagerHash>(key: &[u8], parts: &[&[u8]]) -> hmac::digest::Output<Hmac<D>>
where
    Hmac<D>: Mac + KeyInit,
{
    parts.iter().fold(keyed::<D>(key), |mac, part| mac.chain_update(part)).finalize().into_bytes()
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 section 2)")]
fn keyed<D: EagerHash>(key: &[u8]) -> Hmac<D>
where
    Hmac<D>: KeyInit,
{
    <Hmac<D> as KeyInit>::new_from_slice(key).expect("a key of any length")
}
