//! The part of Lua that Prosody's files are written in: one table of plain values.

use zeroize::Zeroizing;

/// The most bytes of a file. An account has a few hundred.
const MAX_LEN: usize = 16 * 1024;

/// Names and values of `return { ["name"] = value; … };`. Strings are unescaped, other values are as
/// written. `None` for anything else, such as a table in a table.
pub(super) fn table(text: &str) -> Option<Vec<(String, Zeroizing<String>)>> {
    if text.len() > MAX_LEN {
        return None;
    }
    let mut rest = text.trim();
    rest = rest.strip_prefix("return").map_or(rest, str::trim_start);
    rest = rest.strip_prefix('{')?.trim_start();
    let mut members = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix('}') {
            return matches!(end.trim(), "" | ";").then_some(members);
        }
        let (name, after) = name(rest)?;
        let (value, after) = value(after.trim_start().strip_prefix('=')?.trim_start())?;
        members.push((name, value));
        let after = after.trim_start();
        rest = match after.strip_prefix([';', ',']) {
            Some(after) => after.trim_start(),
            None if after.starts_with('}') => after,
            None => return None,
        };
    }
}

/// `["name"]` or `name`, and the text behind it.
fn name(text: &str) -> Option<(String, &str)> {
    if let Some(inside) = text.strip_prefix('[') {
        let (name, after) = string(inside.trim_start())?;
        return Some((name.to_string(), after.trim_start().strip_prefix(']')?));
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// A string, or the characters of a number or a word.
fn value(text: &str) -> Option<(Zeroizing<String>, &str)> {
    if text.starts_with(['"', '\'']) {
        return string(text);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-');
    let end = text.find(|c| !is_plain(c))?;
    (end > 0).then(|| (Zeroizing::new(text[..end].to_owned()), &text[end..]))
}

/// A string in quotes, with the escapes that Lua's `%q` and Prosody's serializer write.
fn string(text: &str) -> Option<(Zeroizing<String>, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = &text[1..];
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            _ if c == quote => return Some((value, rest)),
            '\\' => {
                let escape = rest.chars().next()?;
                if escape.is_ascii_digit() {
                    let digits = rest.bytes().take(3).take_while(u8::is_ascii_digit).count();
                    // Bytes over 127 could be half a character: no salt of Prosody has them.
                    let byte = rest[..digits].parse::<u8>().ok().filter(u8::is_ascii)?;
                    value.push(char::from(byte));
                    rest = &rest[digits..];
                    continue;
                }
                value.push(match escape {
                    'n' | '\n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    '"' | '\'' | '\\' => escape,
                    _ => return None,
                });
                rest = &rest[escape.len_utf8()..];
            }
            '\n' => return None,
            _ => value.push(c),
        }
    }
}
