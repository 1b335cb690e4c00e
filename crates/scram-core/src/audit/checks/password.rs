//! Candidates that one subject's own data suggest.

use crate::audit::{Policy, Subject};

pub(super) fn empty(_: &Subject, _: &Policy) -> Vec<String> {
    vec![String::new()]
}

/// The name as it is and the ways in which people dress it up.
pub(super) fn like_the_name(subject: &Subject, policy: &Policy) -> Vec<String> {
    let name = subject.name.as_str();
    let mut candidates = vec![
        name.to_owned(),
        name.to_lowercase(),
        name.to_uppercase(),
        name.chars().rev().collect(),
        name.repeat(2),
        format!("{name}1"),
        format!("{name}123"),
        format!("{name}!"),
        format!("{name}{}", policy.year),
        format!("{name}{}", policy.year - 1),
    ];
    // The same one twice would cost twice.
    candidates.sort();
    candidates.dedup();
    candidates
}
