//! Password hashes that are made to be slow: crypt(5), the PHC string format, and web frameworks' own.

use super::Kind;

/// The kind of a hash, and its iterations where they are a plain number.
pub(super) fn read(secret: &str) -> Option<(Kind, Option<u32>)> {
    let fields = secret.split('$').collect::<Vec<_>>();
    let number = |text: &str| text.parse::<u32>().ok();
    let rounds = |field: &str| field.strip_prefix("rounds=").and_then(number);
    let read = match fields[..] {
        ["", "2" | "2a" | "2b" | "2x" | "2y", cost, rest] if is_bcrypt(cost, rest) => {
            (Kind::Bcrypt, None)
        }
        // passlib: $bcrypt-sha256$v=2,t=2b,r=12$salt$hash, or 2b,12 for the parameters.
        ["", "bcrypt-sha256", parameters, salt, hash]
            if !parameters.is_empty() && is_b64(salt, 22..=22) && is_b64(hash, 31..=31) =>
        {
            (Kind::Bcrypt, None)
        }
        ["", "1", salt, hash] if is_crypt(salt, 8, hash, 22) => (Kind::Md5Crypt, None),
        ["", "apr1", salt, hash] if is_crypt(salt, 8, hash, 22) => (Kind::Md5Crypt, None),
        ["", "5", salt, hash] if is_crypt(salt, 16, hash, 43) => (Kind::Sha256Crypt, None),
        ["", "5", field, salt, hash] if is_rounds(field) && is_crypt(salt, 16, hash, 43) => {
            (Kind::Sha256Crypt, rounds(field))
        }
        ["", "6", salt, hash] if is_crypt(salt, 16, hash, 86) => (Kind::Sha512Crypt, None),
        ["", "6", field, salt, hash] if is_rounds(field) && is_crypt(salt, 16, hash, 86) => {
            (Kind::Sha512Crypt, rounds(field))
        }
        ["", "7", salt, hash] if is_crypt(salt, 97, hash, 43) && salt.len() >= 11 => {
            (Kind::Scrypt, None)
        }
        ["", "y" | "gy", options, salt, hash]
            if is_b64(options, 1..=32) && is_b64(salt, 0..=86) && is_b64(hash, 43..=43) =>
        {
            (Kind::Yescrypt, None)
        }
        ["", "argon2d" | "argon2i" | "argon2id", ref rest @ ..] if is_argon2(rest) => {
            (Kind::Argon2, None)
        }
        ["", "scrypt", parameters, salt, hash]
            if is_parameters(parameters, &["ln", "r", "p"]) && is_hashed(salt, hash) =>
        {
            (Kind::Scrypt, None)
        }
        // Django: algorithm$N$salt$r$p$hash.
        ["scrypt", n, salt, r, p, hash]
            if [n, r, p].into_iter().all(is_number) && is_hashed(salt, hash) =>
        {
            (Kind::Scrypt, None)
        }
        // passlib, and PHC with named parameters.
        ["", name, parameters, salt, hash]
            if is_pbkdf2(name, "-")
                && (is_number(parameters) || is_parameters(parameters, &["i"]))
                && is_hashed(salt, hash) =>
        {
            let mut named = parameters.split(',').filter_map(|pair| pair.strip_prefix("i="));
            (Kind::Pbkdf2, number(named.next().unwrap_or(parameters)))
        }
        // Django: algorithm$iterations$salt$hash.
        [name, iterations, salt, hash]
            if is_pbkdf2(name, "_") && is_number(iterations) && is_hashed(salt, hash) =>
        {
            (Kind::Pbkdf2, number(iterations))
        }
        // Werkzeug: method:parameters$salt$hexadecimal.
        [method, salt, hash] if is_hashed(salt, hash) => werkzeug(method)?,
        _ => return None,
    };
    Some(read)
}

/// `$2b$12$` and 22 characters of salt, 31 of hash; the cost is 4 to 31.
fn is_bcrypt(cost: &str, rest: &str) -> bool {
    cost.len() == 2
        && cost.parse().is_ok_and(|cost: u8| (4..=31).contains(&cost))
        && is_b64(rest, 53..=53)
}

/// A salt of at most `salt_len` and a hash of exactly `hash_len` characters, as in crypt(5).
fn is_crypt(salt: &str, salt_len: usize, hash: &str, hash_len: usize) -> bool {
    (1..=salt_len).contains(&salt.len()) && !salt.contains(':') && is_b64(hash, hash_len..=hash_len)
}

/// `rounds=5000` of crypt(5).
fn is_rounds(field: &str) -> bool {
    field.strip_prefix("rounds=").is_some_and(is_number)
}

/// `v=19$m=65536,t=3,p=4$salt$hash`; the version is left out by old libraries.
fn is_argon2(fields: &[&str]) -> bool {
    let fields = match fields {
        [version, rest @ ..] if version.strip_prefix("v=").is_some_and(is_number) => rest,
        _ => fields,
    };
    let [parameters, salt, hash] = fields else { return false };
    is_parameters(parameters, &["m", "t", "p"]) && is_hashed(salt, hash)
}

/// `pbkdf2`, alone or with the name of its hash behind the separator.
fn is_pbkdf2(name: &str, separator: &str) -> bool {
    let Some(hash) = name.strip_prefix("pbkdf2") else { return false };
    hash.is_empty()
        || hash
            .strip_prefix(separator)
            .is_some_and(|hash| matches!(hash, "sha1" | "sha224" | "sha256" | "sha384" | "sha512"))
}

/// `scrypt:32768:8:1` or `pbkdf2:sha256:600000`.
fn werkzeug(method: &str) -> Option<(Kind, Option<u32>)> {
    match method.split(':').collect::<Vec<_>>()[..] {
        ["scrypt", n, r, p] if [n, r, p].into_iter().all(is_number) => Some((Kind::Scrypt, None)),
        ["pbkdf2", hash, iterations]
            if is_pbkdf2(&format!("pbkdf2:{hash}"), ":") && is_number(iterations) =>
        {
            Some((Kind::Pbkdf2, iterations.parse().ok()))
        }
        _ => None,
    }
}

/// `name=number` for each of the names, comma between; others may follow.
fn is_parameters(field: &str, names: &[&str]) -> bool {
    let pairs = field.split(',').map(|pair| pair.split_once('=')).collect::<Option<Vec<_>>>();
    pairs.is_some_and(|pairs| {
        names.iter().all(|name| pairs.iter().any(|(n, value)| n == name && is_number(value)))
    })
}

/// A salt and a hash of at least 16 bytes, in any Base64 or in hexadecimal.
fn is_hashed(salt: &str, hash: &str) -> bool {
    let hash = hash.trim_end_matches('=');
    !salt.is_empty()
        && hash.len() >= 22
        && hash
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'/' | b'-' | b'_'))
}

/// crypt(5)'s alphabet.
pub(super) fn is_b64(text: &str, len: std::ops::RangeInclusive<usize>) -> bool {
    len.contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'))
}

fn is_number(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}
