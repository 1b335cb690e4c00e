//! The texts of pg_hba.conf and of the files that it includes.
//!
//! `pg_hba_file_rules` lists the words of a rule without their quotes, which make a keyword a name. So
//! the same files are read here. They are named by the server's own setting and by these files, and nothing
//! of their text leaves except the words of rules, which the view lists too.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use password_audit::hba::{RawLine, RawToken, has_secret, tokenize};

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
    /// When one of these files was changed last.
    changed: Option<SystemTime>,
}

/// When a file was written, or came to its place: a file that is moved or restored keeps the time at which it was
/// written.
pub(in crate::pg) fn last_change(file: &Metadata) -> Option<SystemTime> {
    let seconds = u64::try_from(file.ctime()).ok();
    let nanoseconds = u32::try_from(file.ctime_nsec()).ok();
    let placed = seconds.zip(nanoseconds).and_then(|(seconds, nanoseconds)| {
        UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
    });
    placed.max(file.modified().ok())
}

impl HbaFiles {
    /// Reads a file with rules. Fails where the server's own process could not open it.
    pub(super) fn open(&mut self, file: &[u8]) -> io::Result<()> {
        File::open(OsStr::from_bytes(file))?;
        self.line(file, 0);
        Ok(())
    }

    /// A field of a line, the first one being 0; `None` if it is not known.
    pub(super) fn field(&mut self, file: &[u8], line: usize, field: usize) -> Option<&[RawToken]> {
        self.line(file, line)?.fields.get(field)?.as_deref()
    }

    /// Whether a line may hold a password, such as `radiussecrets`, `ldapbindpasswd`. True for a line that
    /// is not known.
    pub(super) fn has_secret(&mut self, file: &[u8], line: usize) -> bool {
        let is_secret = |token: &RawToken| has_secret(&token.bytes);
        self.line(file, line)
            .is_none_or(|line| line.fields.iter().flatten().flatten().any(is_secret))
    }

    /// When one of the files was changed last.
    pub(super) fn last_change(&self) -> Option<SystemTime> {
        self.changed
    }

    fn line(&mut self, file: &[u8], line: usize) -> Option<&RawLine> {
        let path = Path::new(OsStr::from_bytes(file));
        if !self.files.contains_key(path) {
            let lines = self
                .read(path)
                .map(|text| tokenize(&text, &mut |name| self.included(path, name, MAX_DEPTH)));
            let lines = lines.unwrap_or_default().into_iter().map(|line| (line.number, line));
            let lines = lines.collect();
            self.files.insert(path.to_owned(), lines);
        }
        self.files.get(path)?.get(&line)
    }

    /// The words of a file that another one names.
    fn included(&mut self, from: &Path, name: &[u8], depth: usize) -> Option<Vec<RawToken>> {
        let depth = depth.checked_sub(1)?;
        let path = from.parent()?.join(OsStr::from_bytes(name));
        if let Some(words) = self.words.get(&path) {
            return words.clone();
        }
        let lines = self
            .read(&path)
            .map(|text| tokenize(&text, &mut |name| self.included(&path, name, depth)));
        let fields = lines.map(|lines| lines.into_iter().flat_map(|line| line.fields));
        let words: Option<Vec<Vec<_>>> = fields.and_then(Iterator::collect);
        let words = words.map(|words| words.concat());
        self.words.insert(path, words.clone());
        words
    }
    /// The text of a file; `None` if it cannot be read or is too long.
    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        let metadata = path.metadata().ok()?;
        // A pipe would block.
        if !metadata.is_file() {
            return None;
        }
        self.changed = self.changed.max(last_change(&metadata));
        let mut text = Vec::new();
        File::open(path).ok()?.take(MAX_LEN + 1).read_to_end(&mut text).ok()?;
        (text.len() as u64 <= MAX_LEN).then_some(text)
    }
}
