//! Candidates that one subject's own data suggest.

use crate::{Policy, StoredSecret, Subject};

pub(super) fn none(_: &Policy) -> Vec<Vec<u8>> {
    Vec::new()
}

pub(super) fn no_own(_: &Subject, _: &Policy) -> Vec<Vec<u8>> {
    Vec::new()
}

pub(super) fn empty(_: &Subject, _: &Policy) -> Vec<Vec<u8>> {
    vec![Vec::new()]
}

/// The name and common variations of it.
///
/// If the server's encoding is not UTF-8, ALTER ROLE hashed the name's bytes in that encoding, but
/// most clients hash UTF-8. So both forms are candidates.
///
/// The user that a document is about can have another name than its row.
pub(super) fn like_the_name(subject: &Subject, policy: &Policy) -> Vec<Vec<u8>> {
    let mut candidates = variations(&subject.name, &subject.name_bytes, policy.year);
    if let Some(user) = subject.secret.as_ref().and_then(StoredSecret::user) {
        candidates.extend(variations(user, user.as_bytes(), policy.year));
    }
    distinct(candidates)
}

/// The same with the names of the server's databases and of its host.
pub(super) fn like_the_server(policy: &Policy) -> Vec<Vec<u8>> {
    let names = policy.names.iter();
    distinct(names.flat_map(|name| variations(name, name.as_bytes(), policy.year)).collect())
}

fn variations(name: &str, name_bytes: &[u8], year: i32) -> Vec<Vec<u8>> {
    let mut candidates: Vec<Vec<u8>> =
        [name.to_lowercase(), name.to_uppercase(), name.chars().rev().collect()]
            .map(String::into_bytes)
            .into();
    let capital = capitalized(name);
    let mut names = vec![name.as_bytes(), name_bytes];
    names.dedup();
    names.push(capital.as_bytes());
    for name in names {
        candidates.push(name.repeat(2));
        let years = [year, year - 1].map(|year| year.to_string());
        for suffix in ["", "1", "123", "!", &years[0], &years[1]] {
            candidates.push([name, suffix.as_bytes()].concat());
        }
    }
    candidates
}

/// The first letter in upper case, as rules that ask for one of each kind make people type it.
fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The same one twice would cost twice.
fn distinct(mut candidates: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    candidates.sort();
    candidates.dedup();
    candidates
}
