//! The state of an exchange between server-first and client-final, sealed so that the caller can
//! keep it.
//!
//! A state can move to another backend, another pooled connection or a standby. It is not secret,
//! but making or altering one needs the seal's key. It is not consumed: the same client-final is
//! accepted again until the state expires.

use subtle::ConstantTimeEq;

use crate::keys::Key;
use crate::mechanism::Mechanism;
use crate::server::Challenge;

/// First byte of a sealed state; another layout gets another number.
const VERSION: u8 = 1;

/// The length of a digest and of the tag: HMAC-SHA-256.
const TAG_LEN: usize = 32;

/// How many verifiers a state can be made for: the current one and the one it replaces.
pub const CREDENTIALS: usize = 2;

/// An open state.
#[derive(Clone, Debug)]
pub struct State {
    /// When server-first was made, in microseconds since any fixed epoch.
    pub issued_at: i64,
    /// The exchange.
    pub challenge: Challenge,
    /// Digests of the verifiers that the state was made for ([`Seal::digest`]).
    pub digests: [Key; CREDENTIALS],
}

impl State {
    /// Whether more than `timeout` microseconds have passed, in either direction. A state from the
    /// future has expired too, because the clock that dated it is wrong.
    pub fn is_expired(&self, now: i64, timeout: u64) -> bool {
        self.issued_at.abs_diff(now) > timeout
    }

    /// Whether the state was made for a verifier with this digest, in constant time.
    pub fn knows(&self, digest: &Key) -> bool {
        let [first, second] = &self.digests;
        (digest.ct_eq(first) | digest.ct_eq(second)).into()
    }
}

/// The key under which states are sealed.
#[derive(Clone, Debug)]
pub struct Seal {
    key: Key,
}

impl Seal {
    /// A state that was sealed under another key does not open: each purpose has a key of its own.
    pub fn new(key: Key) -> Self {
        Self { key }
    }

    /// A keyed digest of a verifier's text: tells verifiers apart, is of no use for guessing.
    pub fn digest(&self, verifier: &str) -> Key {
        self.hmac(&[b"verifier\0", verifier.as_bytes()])
    }

    /// The sealed state.
    ///
    /// # Errors
    ///
    /// [`SealError`] if a part is too long to be written; messages within their limits never are.
    pub fn seal(&self, state: &State) -> Result<Vec<u8>, SealError> {
        let Challenge { mechanism, username, client_first_bare, server_first, nonce, cbind_input } =
            &state.challenge;
        let number = Mechanism::ALL.iter().position(|m| m == mechanism);
        let number = number.and_then(|n| u8::try_from(n).ok()).ok_or(SealError)?;

        let mut bytes = vec![VERSION, number];
        bytes.extend_from_slice(&state.issued_at.to_be_bytes());
        for digest in &state.digests {
            bytes.extend_from_slice(digest.as_bytes());
        }
        let texts = [username, client_first_bare, server_first, nonce].map(String::as_bytes);
        for field in texts.into_iter().chain([cbind_input.as_slice()]) {
            let len = u32::try_from(field.len()).map_err(|_| SealError)?;
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(field);
        }
        let tag = self.hmac(&[b"state\0", &bytes]);
        bytes.extend_from_slice(tag.as_bytes());
        Ok(bytes)
    }

    /// Opens a sealed state.
    ///
    /// # Errors
    ///
    /// [`SealError`] if it was altered, cut, made under another key or for another purpose.
    pub fn open(&self, sealed: &[u8]) -> Result<State, SealError> {
        let (bytes, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(SealError)?;
        let tag = Key::new(Mechanism::ScramSha256, tag).ok_or(SealError)?;
        // Check the tag before reading anything else.
        if !bool::from(self.hmac(&[b"state\0", bytes]).ct_eq(&tag)) {
            return Err(SealError);
        }
        parse_state(bytes).ok_or(SealError)
    }

    fn hmac(&self, parts: &[&[u8]]) -> Key {
        self.key.hmac(Mechanism::ScramSha256, parts)
    }
}

fn parse_state(bytes: &[u8]) -> Option<State> {
    let ([version, number], bytes) = bytes.split_first_chunk::<2>()?;
    if *version != VERSION {
        return None;
    }
    let mechanism = *Mechanism::ALL.get(usize::from(*number))?;
    let (issued_at, mut bytes) = bytes.split_first_chunk::<8>()?;
    let mut digest = || {
        let (digest, rest) = bytes.split_first_chunk::<TAG_LEN>()?;
        bytes = rest;
        Key::new(Mechanism::ScramSha256, digest)
    };
    let digests = [digest()?, digest()?];
    let mut field = || {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (field, rest) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        bytes = rest;
        Some(field)
    };
    let mut text = || String::from_utf8(field()?.to_vec()).ok();
    let challenge = Challenge {
        mechanism,
        username: text()?,
        client_first_bare: text()?,
        server_first: text()?,
        nonce: text()?,
        cbind_input: field()?.to_vec(),
    };
    bytes.is_empty().then_some(State {
        issued_at: i64::from_be_bytes(*issued_at),
        challenge,
        digests,
    })
}

/// The bytes are not a state sealed under this key for this purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the state was altered, or was not made here")]
pub struct SealError;
