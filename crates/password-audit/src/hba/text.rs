//! A proposed text of pg_hba.conf, before the server reads it.

use super::tokenize;

/// The line of a text that includes other files, by a word like `@name` or, where `directives` says that the
/// server knows them, by `include`, `include_if_exists` or `include_dir`. `None` if no line does.
pub fn first_include(text: &[u8], directives: bool) -> Option<usize> {
    const DIRECTIVES: [&[u8]; 3] = [b"include", b"include_if_exists", b"include_dir"];
    tokenize(text, &mut |_| None).into_iter().find_map(|line| {
        let names_file = line.fields.iter().any(Option::is_none);
        // The server compares the first word without looking at its quotes.
        let first = line.fields.first().and_then(Option::as_ref).and_then(|field| field.first());
        let directs = first.is_some_and(|word| DIRECTIVES.contains(&&*word.bytes));
        (names_file || directives && directs).then_some(line.number)
    })
}

/// Whether a line may hold a password, such as those of `radiussecrets` and `ldapbindpasswd`. The server's message
/// about such a line may quote it.
pub fn has_secret(line: &[u8]) -> bool {
    let line = line.to_ascii_lowercase();
    [&b"secret"[..], b"passwd"].iter().any(|name| line.windows(6).any(|word| word == *name))
}

/// The server's message about a line that it cannot read. `has_secret` says that the line may hold a password, which
/// the message may quote.
pub fn shown_error(has_secret: bool, message: Option<String>) -> String {
    match message {
        _ if has_secret => "an error in a line with a secret".to_owned(),
        Some(message) => message,
        None => "an error that only the server's log names".to_owned(),
    }
}

/// An option of a rule without the value of a password.
pub fn redacted(option: String) -> String {
    match option.split_once('=') {
        Some((name, _)) if has_secret(name.as_bytes()) => format!("{name}=..."),
        _ => option,
    }
}
