//! Candidates that one subject's own data suggest.

use crate::audit::{Policy, Subject};

pub(super) fn empty(_: &Subject, _: &Policy) -> Vec<Vec<u8>> {
    vec![Vec::new()]
}

/// The name as it is and the ways in which people dress it up.
///
/// Where the server's encoding is not UTF-8, what ALTER ROLE hashed are the name's bytes there, and
/// what a client hashed are most likely the ones in UTF-8.
pub(super) fn like_the_name(subject: &Subject, policy: &Policy) -> Vec<Vec<u8>> {
    let name = subject.name.as_str();
    let mut candidates: Vec<Vec<u8>> =
        [name.to_lowercase(), name.to_uppercase(), name.chars().rev().collect()]
            .map(String::into_bytes)
            .into();
    for name in [name.as_bytes(), &subject.name_bytes] {
        candidates.push(name.repeat(2));
        let years = [policy.year, policy.year - 1].map(|year| year.to_string());
        for suffix in ["", "1", "123", "!", &years[0], &years[1]] {
            candidates.push([name, suffix.as_bytes()].concat());
        }
    }
    // The same one twice would cost twice.
    candidates.sort();
    candidates.dedup();
    candidates
}
