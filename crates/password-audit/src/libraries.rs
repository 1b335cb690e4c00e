//! Lists of libraries in settings such as `session_preload_libraries`.

/// The names of a list: `SplitDirectoriesString` in PostgreSQL's `src/backend/utils/adt/varlena.c`.
///
/// A name in quotes may be empty, and the server fails to load it: `ALTER ROLE … SET` stores `''` as `""`.
pub fn library_names(list: &str) -> Vec<String> {
    let mut names = vec![(String::new(), false)];
    let mut quoted = false;
    for character in list.chars() {
        match (character, names.last_mut()) {
            ('"', Some((_, has_quotes))) => {
                quoted = !quoted;
                *has_quotes = true;
            }
            (',', _) if !quoted => names.push((String::new(), false)),
            (_, Some((name, _))) => name.push(character),
            (_, None) => {}
        }
    }
    let names = names.into_iter().map(|(name, has_quotes)| (name.trim().to_owned(), has_quotes));
    names
        .filter(|(name, has_quotes)| !name.is_empty() || *has_quotes)
        .map(|(name, _)| name)
        .collect()
}
