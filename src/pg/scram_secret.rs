//! The running server's own reader of SCRAM secrets. It differs between major releases, so it is
//! asked and not copied.

use core::ffi::{CStr, c_char, c_int};
use std::ffi::CString;

use password_audit::login::SecretForm;
use password_audit::{Kind, ParsedSecret as Decoded, StoredSecret};
use pgrx::pg_sys;
use scram_core::keys::{Key, MAX_KEY_LEN};
use scram_core::{Mechanism, Verifier};
use zeroize::Zeroizing;

use super::text::ServerText;
use crate::guc;
use crate::limits::MAX_SECRET_LEN;

// src/include/libpq/scram.h and src/include/common/base64.h, which pgrx does not bind. The server's
// binary exports both.
unsafe extern "C-unwind" {
    #[cfg(feature = "pg15")]
    fn parse_scram_secret(
        secret: *const c_char,
        iterations: *mut c_int,
        salt: *mut *mut c_char,
        stored_key: *mut u8,
        server_key: *mut u8,
    ) -> bool;

    #[cfg(not(feature = "pg15"))]
    fn parse_scram_secret(
        secret: *const c_char,
        iterations: *mut c_int,
        hash_type: *mut c_int,
        key_length: *mut c_int,
        salt: *mut *mut c_char,
        stored_key: *mut u8,
        server_key: *mut u8,
    ) -> bool;

    fn pg_b64_decode(source: *const c_char, len: c_int, to: *mut u8, to_len: c_int) -> c_int;
}

/// A stored secret for the audit, with what this server makes of it.
pub(crate) fn stored_secret(secret: &ServerText) -> StoredSecret {
    if secret.len() > MAX_SECRET_LEN {
        return StoredSecret::unread(secret.len());
    }
    // A secret of more than ASCII is no verifier, but may be something else.
    StoredSecret::parse(Zeroizing::new(secret.to_display()), |_| {
        ParsedSecret::parse(secret.as_bytes())?.decoded()
    })
}

/// The kind of a stored secret, by its form and by the running server's own judgement.
pub(crate) fn kind(secret: &ServerText) -> Kind {
    if secret.len() > MAX_SECRET_LEN {
        return Kind::Unknown;
    }
    let utf8 = secret.to_wire();
    let text = String::from_utf8_lossy(&utf8);
    password_audit::identify(&text, |_| server_accepts(secret.as_bytes()))
}

/// A stored secret as this server reads it, if keys may be derived for it.
pub(crate) fn stored_verifier(secret: &ServerText) -> Option<Verifier> {
    let verifier = ParsedSecret::parse(secret.as_bytes())?.decoded()?.verifier()?;
    (verifier.iterations().get() <= guc::max_iterations()).then_some(verifier)
}

/// A secret that this server stores and serves as SCRAM-SHA-256, as it reads it.
pub(crate) struct ParsedSecret {
    /// The count that the server sends as `i=`. It can differ from the text, and can be zero or
    /// negative.
    pub(crate) iterations: i32,
    /// The salt that the server sends as `s=`: the stored text without a change.
    pub(crate) salt: CString,
    stored_key: Key,
    server_key: Key,
}

impl ParsedSecret {
    /// Reads a secret; `None` for any that this server would not serve.
    pub(crate) fn parse(secret: &[u8]) -> Option<Self> {
        if secret.len() > MAX_SECRET_LEN {
            return None;
        }
        // The same question as at login; asked first, so that the rest is only parsed.
        if !server_accepts(secret) {
            return None;
        }
        let secret = CString::new(secret).ok()?;
        let mut iterations: c_int = 0;
        let mut salt: *mut c_char = core::ptr::null_mut();
        let mut keys = [[0; MAX_KEY_LEN]; 2];
        let [stored_key, server_key] = &mut keys;

        // SAFETY: `secret` is a C string; the key buffers have room for SCRAM_MAX_KEY_LEN bytes (32);
        // `salt` is palloc'd, and set on success only. Guarded, as running out of memory is an ERROR.
        let salt = unsafe {
            let accepted = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                parse_scram_secret(
                    secret.as_ptr(),
                    &mut iterations,
                    #[cfg(not(feature = "pg15"))]
                    &mut 0,
                    #[cfg(not(feature = "pg15"))]
                    &mut 0,
                    &mut salt,
                    stored_key.as_mut_ptr(),
                    server_key.as_mut_ptr(),
                )
            });
            if !accepted {
                return None;
            }
            let copy = CStr::from_ptr(salt).to_owned();
            pg_sys::pfree(salt.cast());
            copy
        };
        let key = |bytes: &[u8]| {
            Key::new(Mechanism::ScramSha256, bytes.get(..Mechanism::ScramSha256.key_len())?)
        };
        let [stored_key, server_key] = keys;
        Some(Self {
            iterations,
            salt,
            stored_key: key(&stored_key)?,
            server_key: key(&server_key)?,
        })
    }

    /// For the audit: with the bytes that the server takes the salt for.
    pub(crate) fn decoded(self) -> Option<Decoded> {
        let len = c_int::try_from(self.salt.count_bytes()).ok()?;
        // Base64 never has fewer bytes than what it stands for.
        let mut salt = vec![0; self.salt.count_bytes()];
        // SAFETY: both buffers have `len` bytes.
        let decoded = unsafe { pg_b64_decode(self.salt.as_ptr(), len, salt.as_mut_ptr(), len) };
        salt.truncate(usize::try_from(decoded).ok()?);
        let Self { iterations, stored_key, server_key, .. } = self;
        Some(Decoded { iterations, salt, stored_key, server_key })
    }
}

/// What the server takes a stored secret for when a client logs in.
pub(crate) fn form(secret: &ServerText) -> SecretForm {
    let Ok(secret) = CString::new(secret.as_bytes()) else { return SecretForm::Other };
    // SAFETY: a NUL-terminated string, read only.
    match unsafe { pg_sys::get_password_type(secret.as_ptr()) } {
        pg_sys::PasswordType::PASSWORD_TYPE_MD5 => SecretForm::Md5,
        pg_sys::PasswordType::PASSWORD_TYPE_SCRAM_SHA_256 => SecretForm::Scram,
        _ => SecretForm::Other,
    }
}

/// Whether the running server would store this text as it is and serve it as SCRAM-SHA-256.
pub(crate) fn server_accepts(secret: &[u8]) -> bool {
    let Ok(secret) = CString::new(secret) else { return false };
    // SAFETY: a NUL-terminated string, read only.
    let kind = unsafe { pg_sys::get_password_type(secret.as_ptr()) };
    kind == pg_sys::PasswordType::PASSWORD_TYPE_SCRAM_SHA_256
}
