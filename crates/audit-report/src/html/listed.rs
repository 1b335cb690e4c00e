//! How much of the findings fits into the page. A browser is slow with tens of thousands of rows, and
//! the page is sent by e-mail.

use maud::Markup;

/// Bytes of a table at most.
pub(super) const TABLE_BYTES: usize = 200_000;

/// Bytes of each of the smaller tables at most.
pub(super) const SMALL_TABLE_BYTES: usize = 60_000;

/// Rows of a group at most, because the statement below the table is a better way to read more.
pub(super) const MOST: usize = 500;

/// How many rows of each group are shown: the first number with which the table is small enough.
const ROWS: [usize; 10] = [MOST, 200, 100, 50, 20, 10, 5, 3, 2, 1];

/// The groups' first rows, at most `most` of each, and as many as fit into `bytes` together. `row` makes
/// one.
pub(super) fn fitting<T>(
    groups: &[Vec<T>],
    most: usize,
    bytes: usize,
    row: impl Fn(&T) -> Markup,
) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| group.iter().take(most).map(|one| super::ascii(&row(one).0)).collect())
        .collect();
    let size = |rows: &[Vec<String>], count: usize| -> usize {
        rows.iter().flat_map(|group| group.iter().take(count)).map(String::len).sum()
    };
    let count = ROWS.into_iter().find(|count| size(&rows, *count) <= bytes).unwrap_or(0);
    rows.iter_mut().for_each(|group| group.truncate(count));
    rows
}
