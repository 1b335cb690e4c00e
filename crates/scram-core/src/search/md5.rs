//! PostgreSQL's MD5 secrets, and the MD5 digests that MongoDB makes of passwords.

use std::fmt;

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::saslprep::Password;

/// A role's stored MD5 hash.
#[derive(Clone)]
pub struct Md5Hash {
    hash: [u8; 16],
    role: Vec<u8>,
}

impl Md5Hash {
    /// Reads `md5` and 32 lower-case hexadecimal digits, as the server stores them; `None` for any
    /// other text. `role` is the role's name in the server's encoding: it is the salt.
    pub fn new(text: &str, role: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix("md5").filter(|digits| digits.len() == 32)?.as_bytes();
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 16];
        for (byte, two) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(two[0])? << 4 | digit(two[1])?;
        }
        Some(Self { hash, role: role.to_vec() })
    }

    /// Whether the password, which isn't prepared, has this hash; in constant time.
    ///
    /// Source: `pg_md5_encrypt` in PostgreSQL's `src/common/md5_common.c`.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let hash = Md5::new().chain_update(password).chain_update(&self.role).finalize();
        Zeroizing::new(<[u8; 16]>::from(hash)).ct_eq(&self.hash).into()
    }
}

/// What MongoDB derives the keys of SCRAM-SHA-1 from: the MD5 digest of `user:mongo:password`, in 32 lower-case
/// hexadecimal digits.
///
/// Source: `createPasswordDigest` in MongoDB's `src/mongo/util/password_digest.cpp`.
pub(super) fn mongodb_password(user: &[u8], password: &[u8]) -> Password {
    let digest = Md5::new().chain_update(user).chain_update(b":mongo:").chain_update(password);
    let digest = Zeroizing::new(<[u8; 16]>::from(digest.finalize()));
    let mut digits = Zeroizing::new([0; 32]);
    for (digit, half) in
        digits.iter_mut().zip(digest.iter().flat_map(|byte| [byte >> 4, byte & 15]))
    {
        *digit = b"0123456789abcdef"[usize::from(half)];
    }
    Password::unprepared(&*digits)
}

/// Never prints the hash.
impl fmt::Debug for Md5Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Md5Hash").finish_non_exhaustive()
    }
}
