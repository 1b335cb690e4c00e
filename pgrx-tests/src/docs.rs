//! The pages that users read, as the tests need them: their blocks and tables.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder that README.md is in.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of a page, by its path from [`root`].
pub fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The first block of a page in this language that has this text in it.
pub fn block(page: &str, language: &str, text: &str) -> String {
    let blocks = blocks(&read(page));
    let mut found = blocks.into_iter().filter(|block| block.language == language);
    let found = found.find(|block| block.text.contains(text));
    found.unwrap_or_else(|| panic!("{page} has no block of {language} with {text}")).text
}

/// A fenced block of a page.
#[derive(Debug)]
pub struct Block {
    /// The number of the line with the first fence, from 1.
    pub line: usize,
    /// The word behind that fence; empty where there is none.
    pub language: String,
    /// The lines, each with its end.
    pub text: String,
    /// Whether only empty lines separate it from the previous block.
    pub follows_a_block: bool,
}

/// Every block of a page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut follows_a_block = false;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => {
                blocks.extend(open.take());
                follows_a_block = true;
            }
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(language)) => {
                let language = language.trim().to_owned();
                let text = String::new();
                open = Some(Block { line: index + 1, language, text, follows_a_block });
            }
            (None, None) => follows_a_block &= line.trim().is_empty(),
        }
    }
    assert!(open.is_none(), "a block without an end: {open:?}");
    blocks
}

/// The rows of the table with this heading, without the code marks.
pub fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = page.lines().skip_while(|line| !line.starts_with(heading));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
    };
    let found: Vec<_> = lines.skip(2).take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(!found.is_empty(), "no table {heading}");
    found
}

/// The Markdown files of a folder, by their path from the root.
pub fn pages_of(folder: &str) -> Vec<String> {
    let files = fs::read_dir(root().join(folder)).expect("a folder");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
    let pages = names.filter(|name| name.ends_with(".md"));
    pages.map(|name| format!("{folder}/{name}").trim_start_matches('/').to_owned()).collect()
}
