//! Password hashes that are not SCRAM, and how well they protect a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Kind, crypt};

/// The fewest iterations of PBKDF2 that NIST SP 800-63B (5.1.1.2) accepts.
const MIN_PBKDF2_ITERATIONS: u32 = 10_000;

/// The count of SHA-crypt that its specification has as default.
const DEFAULT_SHA_CRYPT_ROUNDS: u32 = 5000;

/// A hash, by its form.
pub(crate) struct Hash {
    /// `Unknown` for forms without a label of their own.
    pub(crate) kind: Kind,
    /// Why a fast computer finds the password; `None` for a hash that is made to be slow.
    pub(crate) weakness: Option<String>,
}

impl Hash {
    fn weak(what: &str) -> Self {
        Self { kind: Kind::Unknown, weakness: Some(what.to_owned()) }
    }
}

/// Reads a hash. `None` for a text of no known form, which may be the password itself.
pub(crate) fn read(secret: &str) -> Option<Hash> {
    // Every form is shorter. The limit rejects a megabyte of plain text at once.
    if secret.len() > 1024 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let wrapped = unwrapped(secret);
    slow(wrapped).or_else(|| fast(secret)).or_else(|| fast(wrapped))
}

/// Whether a text stands for an account without a password: `!` or `*` of shadow(5), and Django's `!`
/// with 40 random characters. A hash behind a `!` is locked.
pub(crate) fn is_locked(secret: &str) -> bool {
    matches!(secret, "!" | "!!" | "*" | "*LK*" | "*NP*" | "!*")
        || secret.strip_prefix('!').is_some_and(|rest| {
            rest.len() == 40 && rest.bytes().all(|b| b.is_ascii_alphanumeric())
                || read(rest.trim_start_matches('!')).is_some()
        })
}

/// The text without the name of its scheme, if that is followed by a hash with a name of its own.
fn unwrapped(secret: &str) -> &str {
    // LDAP, Dovecot and Spring: {CRYPT}$6$…, {BLF-CRYPT}$2y$…, {argon2}$argon2id$….
    if let Some((scheme, rest)) = secret.strip_prefix('{').and_then(|s| s.split_once('}')) {
        let scheme = scheme.to_ascii_uppercase();
        let is_named = scheme.starts_with("ARGON2") || scheme.ends_with("CRYPT");
        return if is_named { rest } else { secret };
    }
    // Django; WordPress.
    let prefixes = ["argon2$", "bcrypt$", "bcrypt_sha256$", "crypt$$"];
    if let Some(rest) = prefixes.into_iter().find_map(|prefix| secret.strip_prefix(prefix)) {
        return rest;
    }
    secret.strip_prefix("$wp").unwrap_or(secret)
}

/// Hashes that are made to be slow.
fn slow(secret: &str) -> Option<Hash> {
    // Django leaves out the first dollar sign of Argon2.
    let argon2 = secret.starts_with("argon2").then(|| format!("${secret}"));
    let hash = crypt::read(argon2.as_deref().unwrap_or(secret))
        .or_else(|| ldap_pbkdf2(secret))
        .or_else(|| asp_net(secret))?;
    let (kind, rounds) = hash;
    let weakness = match (kind, rounds) {
        (Kind::Md5Crypt, _) => Some("MD5-crypt".to_owned()),
        (Kind::Pbkdf2, Some(rounds)) if rounds < MIN_PBKDF2_ITERATIONS => Some(format!(
            "PBKDF2 with {rounds} iterations, at least {MIN_PBKDF2_ITERATIONS} wanted"
        )),
        (Kind::Sha256Crypt | Kind::Sha512Crypt, Some(rounds))
            if rounds < DEFAULT_SHA_CRYPT_ROUNDS =>
        {
            Some(format!("{kind} with {rounds} rounds, at least {DEFAULT_SHA_CRYPT_ROUNDS} wanted"))
        }
        _ => None,
    };
    Some(Hash { kind, weakness })
}

/// passlib's and Dovecot's `{PBKDF2-SHA256}iterations$salt$hash`.
fn ldap_pbkdf2(secret: &str) -> Option<(Kind, Option<u32>)> {
    let (scheme, rest) = secret.strip_prefix('{')?.split_once('}')?;
    let scheme = scheme.to_ascii_lowercase();
    scheme.starts_with("pbkdf2").then(|| crypt::read(&format!("${scheme}${rest}")))?
}

/// ASP.NET Core Identity: Base64 of a version, and in version 3 of the hash's number, the iterations and
/// the salt's length, each of four bytes. Version 2 has 1000 iterations.
fn asp_net(secret: &str) -> Option<(Kind, Option<u32>)> {
    let bytes = Some(secret).filter(|text| text.len() >= 64)?;
    let bytes = STANDARD.decode(bytes).ok()?;
    match *bytes.first_chunk::<13>()? {
        [0, ..] if bytes.len() == 49 => Some((Kind::Pbkdf2, Some(1000))),
        [1, 0, 0, 0, 0..=2, a, b, c, d, 0, 0, 0, salt] if bytes.len() > 29 + usize::from(salt) => {
            Some((Kind::Pbkdf2, Some(u32::from_be_bytes([a, b, c, d]))))
        }
        _ => None,
    }
}

/// Hashes of one or few steps.
fn fast(secret: &str) -> Option<Hash> {
    if let Some((scheme, rest)) = secret.strip_prefix('{').and_then(|s| s.split_once('}')) {
        return ldap(&scheme.to_ascii_uppercase(), rest);
    }
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let hex = secret.strip_prefix("0x").unwrap_or(secret);
    if is_hex(hex)
        && let Some(name) = digest_of(hex.len() / 2).filter(|_| hex.len().is_multiple_of(2))
    {
        return Some(Hash::weak(&format!("{name} without a salt")));
    }
    // MySQL's.
    if secret.strip_prefix('*').is_some_and(|hex| hex.len() == 40 && is_hex(hex)) {
        return Some(Hash::weak("SHA-1 without a salt"));
    }
    let is_b64 = |text: &str, len: usize| crypt::is_b64(text, len..=len);
    let fields = secret.split('$').collect::<Vec<_>>();
    match fields[..] {
        // Django and Werkzeug of old.
        [name @ ("md5" | "sha1" | "sha224" | "sha256" | "sha384" | "sha512"), salt, hex]
            if hex.len() >= 32 && is_hex(hex) =>
        {
            let without = if salt.is_empty() { " without a salt" } else { "" };
            Some(Hash::weak(&format!("one step of {name}{without}")))
        }
        // phpass, of WordPress and phpBB.
        ["", "P" | "H", rest] if is_b64(rest, 31) => Some(Hash::weak("phpass with MD5")),
        // Sun's.
        ["", name, .., hash] if (name == "md5" || name.starts_with("md5,")) && is_b64(hash, 22) => {
            Some(Hash::weak("MD5 of Solaris"))
        }
        // NetBSD's.
        ["", "sha1", _, salt, hash] if !salt.is_empty() && is_b64(hash, 28) => {
            Some(Hash::weak("SHA-1 of NetBSD"))
        }
        [text] if is_des(text) => Some(Hash::weak("DES-crypt")),
        [text] if text.starts_with('_') && is_b64(&text[1..], 19) => Some(Hash::weak("DES-crypt")),
        _ => None,
    }
}

/// `{SSHA}` and its like of LDAP; `{DES-CRYPT}` of Dovecot.
fn ldap(scheme: &str, rest: &str) -> Option<Hash> {
    let (scheme, _) = scheme.split_once('.').unwrap_or((scheme, ""));
    // GNU SASL's with the salted password, and those with too few iterations.
    if scheme.starts_with("SCRAM-SHA-") && rest.split(',').count() >= 4 {
        return Some(Hash::weak("a SCRAM credential that Dovecot refuses"));
    }
    let len = match scheme {
        "CRYPT" | "DES-CRYPT" => {
            return crypt::is_b64(rest, 13..=13).then(|| Hash::weak("DES-crypt"));
        }
        "LDAP-MD5" | "MD5" | "PLAIN-MD5" | "SMD5" => 16,
        "SHA" | "SHA1" | "SSHA" => 20,
        "SHA256" | "SSHA256" | "SHA-256" => 32,
        "SHA512" | "SSHA512" | "SHA-512" => 64,
        _ => return None,
    };
    let is_hex = rest.len() == 2 * len && rest.bytes().all(|b| b.is_ascii_hexdigit());
    let is_digest = is_hex || STANDARD.decode(rest).is_ok_and(|bytes| bytes.len() >= len);
    is_digest.then(|| Hash::weak(&format!("one step of {scheme}")))
}

/// The function with digests of this many bytes.
fn digest_of(bytes: usize) -> Option<&'static str> {
    match bytes {
        16 => Some("MD5"),
        20 => Some("SHA-1"),
        28 => Some("SHA-224"),
        32 => Some("SHA-256"),
        48 => Some("SHA-384"),
        64 => Some("SHA-512"),
        _ => None,
    }
}

/// crypt(3) of old: two characters of salt and eleven of hash. The last one has two bits that are 0.
/// A word of 13 letters can look like this, so the characters must be mixed.
fn is_des(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    crypt::is_b64(text, 13..=13)
        && text.ends_with([
            '.', '2', '6', 'A', 'E', 'I', 'M', 'Q', 'U', 'Y', 'c', 'g', 'k', 'o', 's', 'w',
        ])
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(|byte| !byte.is_ascii_alphabetic())
}
