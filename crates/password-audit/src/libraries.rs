//! Lists of libraries in settings such as `session_preload_libraries`.

/// The names of a list: `SplitDirectoriesString` in PostgreSQL's `src/backend/utils/adt/varlena.c`.
pub fn library_names(list: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    for character in list.chars() {
        match (character, names.last_mut()) {
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => names.push(String::new()),
            (_, Some(name)) => name.push(character),
            (_, None) => {}
        }
    }
    let names = names.iter().map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}
