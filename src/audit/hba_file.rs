//! The texts of pg_hba.conf and of the files that it includes.
//!
//! `pg_hba_file_rules` lists the words of a rule without their quotes, which make a keyword a name. So
//! the same files are read here. Only the server's own setting and these files name them, and nothing
//! of their text leaves except the words of rules, which the view lists too.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use password_audit::hba::{RawLine, RawToken, tokenize};

/// A longer file is not read. Each of a million lines would have four bytes.
const MAX_LEN: u64 = 4 << 20;

/// Files within files, as in `CONF_FILE_MAX_DEPTH` of PostgreSQL's `src/include/utils/conffiles.h`.
const MAX_DEPTH: usize = 10;

/// Files with rules, each read once.
#[derive(Default)]
pub(super) struct HbaFiles {
    /// By path and number of the line.
    files: HashMap<PathBuf, HashMap<usize, RawLine>>,
    /// The words of files that a word like `@name` stands for; `None` if they are not known.
    words: HashMap<PathBuf, Option<Vec<RawToken>>>,
}

impl HbaFiles {
    /// A field of a line, the first one being 0; `None` if it is not known.
    pub(super) fn field(&mut self, file: &[u8], line: usize, field: usize) -> Option<&[RawToken]> {
        let path = Path::new(OsStr::from_bytes(file));
        if !self.files.contains_key(path) {
            let lines = read(path)
                .map(|text| tokenize(&text, &mut |name| self.included(path, name, MAX_DEPTH)));
            let lines = lines.unwrap_or_default().into_iter().map(|line| (line.number, line));
            let lines = lines.collect();
            self.files.insert(path.to_owned(), lines);
        }
        self.files.get(path)?.get(&line)?.fields.get(field)?.as_deref()
    }

    /// The words of a file that another one names.
    fn included(&mut self, from: &Path, name: &[u8], depth: usize) -> Option<Vec<RawToken>> {
        let depth = depth.checked_sub(1)?;
        let path = from.parent()?.join(OsStr::from_bytes(name));
        if let Some(words) = self.words.get(&path) {
            return words.clone();
        }
        let lines =
            read(&path).map(|text| tokenize(&text, &mut |name| self.included(&path, name, depth)));
        let fields = lines.map(|lines| lines.into_iter().flat_map(|line| line.fields));
        let words: Option<Vec<Vec<_>>> = fields.and_then(Iterator::collect);
        let words = words.map(|words| words.concat());
        self.words.insert(path, words.clone());
        words
    }
}

/// The text of a file; `None` if it cannot be read or is too long.
fn read(path: &Path) -> Option<Vec<u8>> {
    // A pipe would block.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    File::open(path).ok()?.take(MAX_LEN + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= MAX_LEN).then_some(text)
}
