//! The words of pg_hba.conf, and how the server splits a file into them (`tokenize_auth_file`,
//! `next_field_expand` and `next_token` in PostgreSQL's `src/backend/libpq/hba.c`).
//!
//! A keyword in quotes is a plain name. `pg_hba_file_rules` lists names without their quotes, so the
//! text of the file has to be read for them.

use std::fmt;

use super::names::Match;

/// A word of a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthToken {
    /// The word without its quotes, for display and comparison.
    pub text: String,
    /// Whether it begins with a quote in the file.
    pub quoting: Quoting,
}

/// Whether a word begins with a quote in the file. A quote makes a keyword a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quoting {
    /// It does not.
    Plain,
    /// It does.
    Quoted,
    /// The file could not be read, or has changed since.
    Unknown,
}

impl AuthToken {
    /// A word without quotes.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), quoting: Quoting::Plain }
    }

    /// A word that stands for this name and no other, with quotes that make a keyword a name. From PostgreSQL 16 on
    /// (`patterns`) each word that begins with a slash is a regular expression, also in quotes (`regcomp_auth_token` in
    /// `hba.c`). So such a name becomes the expression that matches it alone.
    pub fn of_name(name: &str, patterns: bool) -> Self {
        let mut text = name.to_owned();
        if patterns && name.starts_with('/') {
            text = "/^".to_owned();
            for character in name.chars() {
                if character.is_ascii_punctuation() && !matches!(character, '/' | '_' | '-') {
                    text.push('\\');
                }
                text.push(character);
            }
            text.push('$');
        }
        Self { text, quoting: Quoting::Quoted }
    }

    /// The words of a field as the server lists them: each as shown, and its bytes. `field` is the
    /// same field of the file's text; `None` if it is not known.
    pub fn list(listed: Vec<(String, Vec<u8>)>, field: Option<&[RawToken]>) -> Vec<Self> {
        // The file may have changed since the server listed its rules.
        let field = field.filter(|field| {
            field.len() == listed.len()
                && field.iter().zip(&listed).all(|(raw, (_, bytes))| raw.bytes == *bytes)
        });
        let quoting = |index: usize| match field.and_then(|field| field.get(index)) {
            Some(raw) if raw.quoted => Quoting::Quoted,
            Some(_) => Quoting::Plain,
            None => Quoting::Unknown,
        };
        let listed = listed.into_iter().enumerate();
        listed.map(|(index, (text, _))| Self { text, quoting: quoting(index) }).collect()
    }

    /// Judges the word as a keyword may be, or as a name; both where its quoting is not known.
    pub(super) fn judged(&self, judge: impl Fn(bool) -> Match) -> Match {
        match self.quoting {
            Quoting::Plain => judge(false),
            Quoting::Quoted => judge(true),
            Quoting::Unknown => {
                let (plain, quoted) = (judge(false), judge(true));
                if plain == quoted { plain } else { Match::Maybe }
            }
        }
    }
}

/// As a rule would have it: in quotes where it would be something else without them.
impl fmt::Display for AuthToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KEYWORDS: &[&str] =
            &["all", "replication", "samegroup", "samehost", "samenet", "samerole", "sameuser"];

        let text = &*self.text;
        let is_special = KEYWORDS.contains(&text) || text.starts_with(['+', '@']);
        let is_split = text.is_empty() || text.contains([' ', '\t', '\r', ',', '#', '"']);
        if is_split || is_special && self.quoting == Quoting::Quoted {
            // The sign of a group within quotes would be the first letter of a name.
            let (sign, name) = match text.strip_prefix('+') {
                Some(name) if self.quoting != Quoting::Quoted => ("+", name),
                _ => ("", text),
            };
            write!(f, "{sign}\"{}\"", name.replace('"', "\"\""))
        } else {
            f.write_str(text)
        }
    }
}

/// A line of a file that is neither empty nor a comment alone.
#[derive(Debug)]
pub struct RawLine {
    /// Its number; the first one's, if it is continued.
    pub number: usize,
    /// Its fields. `None` for one that names a file which could not be read.
    pub fields: Vec<Option<Vec<RawToken>>>,
}

/// A word as it stands in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawToken {
    /// The word without its quotes.
    pub bytes: Vec<u8>,
    /// Whether it begins with a quote.
    pub quoted: bool,
}

/// Splits the text of a file into lines, fields and words. `include` returns the words of the file
/// that a word like `@name` stands for, or `None` if they are not known.
pub fn tokenize(
    text: &[u8],
    include: &mut dyn FnMut(&[u8]) -> Option<Vec<RawToken>>,
) -> Vec<RawLine> {
    let mut lines = Vec::new();
    for (number, line) in logical_lines(text) {
        let mut fields = Vec::new();
        let mut rest = &*line;
        while !rest.is_empty() {
            let field = next_field(&mut rest, include);
            // A file without a word is no field.
            fields.extend(field.filter(|field| field.as_ref().is_none_or(|f| !f.is_empty())));
        }
        if !fields.is_empty() {
            lines.push(RawLine { number, fields });
        }
    }
    lines
}

/// Lines with their numbers. A backslash at a line's end continues it on the next one.
fn logical_lines(text: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let (mut first, mut last_continuation) = (1, 0);
    for (index, part) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        line.extend_from_slice(part);
        // The server reads the line as a C string.
        line.truncate(line.iter().position(|&byte| byte == 0).unwrap_or(line.len()));
        while line.ends_with(b"\n") || line.ends_with(b"\r") {
            line.pop();
        }
        if line.len() > last_continuation && line.ends_with(b"\\") {
            line.pop();
            last_continuation = line.len();
            continue;
        }
        lines.push((first, std::mem::take(&mut line)));
        (first, last_continuation) = (index + 2, 0);
    }
    if !line.is_empty() {
        lines.push((first, line));
    }
    lines
}

/// The next field: words with commas between them. `None` if the line has ended.
fn next_field(
    line: &mut &[u8],
    include: &mut dyn FnMut(&[u8]) -> Option<Vec<RawToken>>,
) -> Option<Option<Vec<RawToken>>> {
    let mut field = Some(Vec::new());
    let mut has_word = false;
    while let Some((token, comma)) = next_token(line) {
        has_word = true;
        let words = match &token.bytes[..] {
            [b'@', name @ ..] if !token.quoted && !name.is_empty() => include(name),
            _ => Some(vec![token]),
        };
        // In place, because a field may have hundreds of thousands of words.
        field = field.zip(words).map(|(mut field, words)| {
            field.extend(words);
            field
        });
        if !comma {
            break;
        }
    }
    has_word.then_some(field)
}

/// The next word, and whether a comma ends it.
fn next_token(line: &mut &[u8]) -> Option<(RawToken, bool)> {
    let is_blank = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r');
    let start = line.iter().position(|&byte| !is_blank(byte) && byte != b',');
    *line = &line[start.unwrap_or(line.len())..];

    let mut bytes = Vec::new();
    let (mut in_quote, mut was_quote, mut saw_quote) = (false, false, false);
    let (mut quoted, mut comma) = (false, false);
    let mut end = line.len();
    for (index, &byte) in line.iter().enumerate() {
        if !in_quote && (is_blank(byte) || byte == b'#') {
            end = if byte == b'#' { line.len() } else { index };
            break;
        }
        if byte == b',' && !in_quote {
            (comma, end) = (true, index + 1);
            break;
        }
        if byte != b'"' || was_quote {
            bytes.push(byte);
        }
        // Two quotes inside of quotes stand for one.
        was_quote = in_quote && byte == b'"' && !was_quote;
        if byte == b'"' {
            in_quote = !in_quote;
            saw_quote = true;
            quoted |= bytes.is_empty();
        }
    }
    *line = &line[end..];
    (saw_quote || !bytes.is_empty()).then_some((RawToken { bytes, quoted }, comma))
}
