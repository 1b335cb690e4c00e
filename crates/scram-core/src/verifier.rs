//! The stored form of a password: `MECHANISM$iterations:salt$StoredKey:ServerKey`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::keys::{Key, SaltedPassword};
use crate::mechanism::Mechanism;
use crate::saslprep::Password;

/// The longest salt, in bytes.
pub const MAX_SALT_LEN: usize = 1024;

/// The highest iteration count: PostgreSQL holds it in an `int`.
pub const MAX_ITERATIONS: u32 = i32::MAX as u32;

/// The longest SCRAM-SHA-256 verifier, in bytes: the limit of PostgreSQL 18
/// (`MAX_ENCRYPTED_PASSWORD_LEN`, src/include/libpq/crypt.h).
pub const MAX_STORED_LEN: usize = 512;

/// Salt, count and mechanism: the public part of a verifier.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameters {
    mechanism: Mechanism,
    iterations: NonZeroU32,
    salt: Vec<u8>,
}

impl Parameters {
    /// Checks that every supported server would store a verifier with these parameters.
    ///
    /// # Errors
    ///
    /// [`ParameterError`] names the parameter that is out of range.
    pub fn new(
        mechanism: Mechanism,
        iterations: NonZeroU32,
        salt: Vec<u8>,
    ) -> Result<Self, ParameterError> {
        if iterations.get() > MAX_ITERATIONS {
            return Err(ParameterError::Iterations);
        }
        if !(1..=MAX_SALT_LEN).contains(&salt.len()) {
            return Err(ParameterError::Salt);
        }
        let parameters = Self { mechanism, iterations, salt };
        if mechanism == Mechanism::ScramSha256 && parameters.text_len() > MAX_STORED_LEN {
            return Err(ParameterError::Stored);
        }
        Ok(parameters)
    }

    /// The mechanism.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The iteration count, 1 to [`MAX_ITERATIONS`].
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// The salt, 1 to [`MAX_SALT_LEN`] raw bytes.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// `SaltedPassword` of this password; see [`SaltedPassword::derive`] for cost and `tick`.
    pub fn salted_password(&self, password: &Password, tick: impl FnMut()) -> SaltedPassword {
        SaltedPassword::derive(self.mechanism, password, &self.salt, self.iterations, tick)
    }

    /// The length of the verifier's text in bytes, known before the keys are.
    fn text_len(&self) -> usize {
        let base64 = |len: usize| len.div_ceil(3) * 4;
        let digits = self.iterations.ilog10() as usize + 1;
        let key = base64(self.mechanism.key_len());
        self.mechanism.name().len() + digits + base64(self.salt.len()) + 2 * key + "$:$:".len()
    }
}

/// A SCRAM verifier, which a server stores in place of the password.
///
/// It is secret: its holder can test guesses against it, and `ServerKey` lets the holder
/// impersonate the server.
#[derive(Clone)]
pub struct Verifier {
    parameters: Parameters,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// The verifier of this password.
    ///
    /// Takes as long as the iteration count asks for; `tick` as in [`SaltedPassword::derive`].
    pub fn derive(parameters: Parameters, password: &Password, tick: impl FnMut()) -> Self {
        let salted = parameters.salted_password(password, tick);
        Self { stored_key: salted.stored_key(), server_key: salted.server_key(), parameters }
    }

    /// Puts a verifier together from keys that were derived elsewhere.
    pub fn from_keys(parameters: Parameters, stored_key: Key, server_key: Key) -> Self {
        Self { parameters, stored_key, server_key }
    }

    /// Whether this password made the verifier: both keys match, in constant time.
    ///
    /// PostgreSQL's own check of a clear-text password looks at ServerKey only and its exchange at
    /// StoredKey only (`scram_verify_plain_password`, `verify_client_proof` in auth-scram.c): a
    /// verifier whose keys belong to two passwords would pass one and fail the other.
    pub fn verify(&self, password: &Password, tick: impl FnMut()) -> bool {
        self.matches(&self.parameters.salted_password(password, tick))
    }

    /// The result of [`verify`](Self::verify) for the password that `salted` was derived from.
    pub(crate) fn matches(&self, salted: &SaltedPassword) -> bool {
        let stored = salted.stored_key().ct_eq(&self.stored_key);
        let server = salted.server_key().ct_eq(&self.server_key);
        (stored & server).into()
    }

    /// Mechanism, iterations and salt.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The mechanism.
    pub fn mechanism(&self) -> Mechanism {
        self.parameters.mechanism
    }

    /// The iteration count, 1 to [`MAX_ITERATIONS`].
    pub fn iterations(&self) -> NonZeroU32 {
        self.parameters.iterations
    }

    /// The salt, raw bytes.
    pub fn salt(&self) -> &[u8] {
        &self.parameters.salt
    }

    /// `StoredKey`: checks the client's proof.
    pub fn stored_key(&self) -> &Key {
        &self.stored_key
    }

    /// `ServerKey`: makes the server's signature.
    pub fn server_key(&self) -> &Key {
        &self.server_key
    }
}

impl fmt::Display for Verifier {
    /// The text form, as PostgreSQL stores it (`scram_build_secret`, scram-common.c) and as RFC
    /// 5803 section 2 has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parameters { mechanism, iterations, salt } = &self.parameters;
        write!(f, "{mechanism}${iterations}:{}$", STANDARD.encode(salt))?;
        write!(f, "{}:", STANDARD.encode(self.stored_key.as_bytes()))?;
        f.write_str(&STANDARD.encode(self.server_key.as_bytes()))
    }
}

impl FromStr for Verifier {
    type Err = ParseError;

    /// Accepts only the strict form: canonical Base64, a plain decimal count, nothing before or
    /// after. PostgreSQL's own parser (`parse_scram_secret`) accepts more, and differs by release.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (mechanism, rest) = text.split_once('$').ok_or(ParseError::Shape)?;
        let mechanism = mechanism.parse::<Mechanism>().map_err(|_| ParseError::Mechanism)?;
        if mechanism == Mechanism::ScramSha256 && text.len() > MAX_STORED_LEN {
            return Err(ParseError::Length);
        }
        let (parameters, keys) = rest.split_once('$').ok_or(ParseError::Shape)?;
        let (iterations, salt) = parameters.split_once(':').ok_or(ParseError::Shape)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(ParseError::Shape)?;

        let iterations = posit_number(iterations).ok_or(ParseError::Iterations)?;
        // Bounded before it is decoded: the text may be as long as the caller likes.
        if salt.len() > MAX_SALT_LEN.div_ceil(3) * 4 {
            return Err(ParseError::SaltLength);
        }
        let salt = STANDARD.decode(salt).map_err(|_| ParseError::Salt)?;
        let key = |text: &str| {
            (text.len() <= 2 * crate::keys::MAX_KEY_LEN)
                .then(|| STANDARD.decode(text).ok())
                .flatten()
                .and_then(|bytes| Key::new(mechanism, &bytes))
        };
        let stored_key = key(stored_key).ok_or(ParseError::StoredKey)?;
        let server_key = key(server_key).ok_or(ParseError::ServerKey)?;
        let parameters = Parameters::new(mechanism, iterations, salt)?;
        Ok(Self { parameters, stored_key, server_key })
    }
}

/// Never prints key material.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// The parameters of a new verifier, and which stored verifiers of the same password are kept instead.
#[derive(Clone, Copy, Debug)]
pub struct KeepPolicy {
    /// The count of a new verifier.
    pub iterations: NonZeroU32,
    /// Whether a stored verifier must have exactly this count; otherwise a higher one is kept too.
    pub is_exact: bool,
    /// The highest count that is kept.
    pub max_iterations: u32,
    /// The length in bytes of a new verifier's salt; a stored verifier with a longer one is kept.
    pub salt_len: usize,
}

impl KeepPolicy {
    /// Whether this verifier is kept.
    pub fn accepts(&self, verifier: &Verifier) -> bool {
        let count = verifier.iterations();
        let fits = if self.is_exact {
            count == self.iterations
        } else {
            count.get() <= self.max_iterations
        };
        let minimum = Minimum { iterations: self.iterations, salt_len: self.salt_len };
        fits && minimum.accepts(verifier)
    }
}

/// The least that a verifier must have. `scram.needs_rotation`, the functions that set passwords and
/// the audit all decide by it.
#[derive(Clone, Copy, Debug)]
pub struct Minimum {
    /// Iterations.
    pub iterations: NonZeroU32,
    /// Bytes of the salt.
    pub salt_len: usize,
}

impl Minimum {
    /// Whether a verifier has as many iterations and as long a salt.
    pub fn accepts(&self, verifier: &Verifier) -> bool {
        !self.is_above_iterations(verifier.iterations().get().into())
            && !self.is_above_salt(verifier.salt().len())
    }

    /// Whether this iteration count is too low. A server may read a stored one as 0 or less.
    pub fn is_above_iterations(&self, iterations: i64) -> bool {
        iterations < i64::from(self.iterations.get())
    }

    /// Whether a salt of this many bytes is too short.
    pub fn is_above_salt(&self, bytes: usize) -> bool {
        bytes < self.salt_len
    }
}

/// `posit-number = %x31-39 *DIGIT` (RFC 5802 section 7), at most [`MAX_ITERATIONS`].
pub fn posit_number(text: &str) -> Option<NonZeroU32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let number = text.parse::<NonZeroU32>().ok().filter(|n| n.get() <= MAX_ITERATIONS);
    number.filter(|_| plain)
}

/// Why there can be no verifier with such parameters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// More than [`MAX_ITERATIONS`].
    #[error("the iteration count is over {MAX_ITERATIONS}")]
    Iterations,
    /// Empty, or longer than [`MAX_SALT_LEN`].
    #[error("the salt must have 1 to {MAX_SALT_LEN} bytes")]
    Salt,
    /// The text would be longer than [`MAX_STORED_LEN`].
    #[error("the verifier would be longer than the {MAX_STORED_LEN} bytes that PostgreSQL stores")]
    Stored,
}

/// Why a text is not a verifier. Names the part, never its content: the text may be a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The count is not a plain decimal number from 1 to [`MAX_ITERATIONS`].
    #[error("the iteration count is not a plain decimal number from 1 to {MAX_ITERATIONS}")]
    Iterations,
    /// A SCRAM-SHA-256 verifier of more than [`MAX_STORED_LEN`] bytes.
    #[error("it is longer than the {MAX_STORED_LEN} bytes that PostgreSQL stores")]
    Length,
    /// The text names another mechanism, or is no verifier.
    #[error("the mechanism is not SCRAM-SHA-1, SCRAM-SHA-256 or SCRAM-SHA-512")]
    Mechanism,
    /// The salt is not canonical Base64.
    #[error("the salt is not canonical Base64")]
    Salt,
    /// Empty, or longer than [`MAX_SALT_LEN`].
    #[error("the salt does not have 1 to {MAX_SALT_LEN} bytes")]
    SaltLength,
    /// The ServerKey is not a key of the mechanism in canonical Base64.
    #[error("ServerKey is not a key of the mechanism's length in canonical Base64")]
    ServerKey,
    /// A separator is missing.
    #[error("a field is missing")]
    Shape,
    /// The StoredKey is not a key of the mechanism in canonical Base64.
    #[error("StoredKey is not a key of the mechanism's length in canonical Base64")]
    StoredKey,
}

impl From<ParameterError> for ParseError {
    fn from(error: ParameterError) -> Self {
        match error {
            ParameterError::Iterations => Self::Iterations,
            ParameterError::Salt => Self::SaltLength,
            ParameterError::Stored => Self::Length,
        }
    }
}
