//! The built-in word list.

/// The words, most common first; the list's licence is in data/.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    include_str!("../data/wordlist.txt").lines()
}
