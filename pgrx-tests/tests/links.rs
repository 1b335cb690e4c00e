//! The pages read well: links lead to something, and each line of prose is a whole sentence.

use std::fs;

use scram_ext_client_tests::docs::{self, pages_of};

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    for page in FOLDERS.iter().flat_map(|folder| pages_of(folder)) {
        let text = docs::read(&page);
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { format!("{folder}/{path}") };
            let target = docs::root().join(target.trim_start_matches('/'));
            assert!(target.exists(), "{page}: {link}");
            if !anchor.is_empty() {
                let there = fs::read_to_string(&target).expect("a page");
                let headings: Vec<_> = anchors(&there).collect();
                assert!(headings.iter().any(|heading| heading == anchor), "{page}: {link}");
            }
        }
    }
}

#[test]
fn each_line_of_prose_is_a_whole_sentence() {
    let pages = FOLDERS.iter().flat_map(|folder| pages_of(folder));
    // The reference has a line for each function.
    for page in pages.filter(|page| page != "docs/reference.md") {
        let text = docs::read(&page);
        let mut in_block = false;
        let mut wrapped = false;
        for (index, line) in text.lines().enumerate() {
            let place = format!("{page}, line {}: {line}", index + 1);
            if line.starts_with("```") {
                in_block = !in_block;
            }
            let is_prose =
                !in_block && !["```", "|", "#"].iter().any(|mark| line.starts_with(mark));
            if !is_prose || line.is_empty() {
                wrapped = false;
                continue;
            }
            let item = line.trim_start();
            let number = item.find(". ").filter(|end| item[..*end].parse::<u32>().is_ok());
            let starts = item.starts_with("- ") || item.starts_with("* ") || number.is_some();
            assert!(!wrapped || starts, "a sentence on two lines: {place}");
            let lead = item.find(".** ").map_or(0, |end| end + 4);
            let body = &item[lead.max(number.map_or(0, |end| end + 2))..];
            let second = body.match_indices(". ").any(|(end, _)| {
                body[end + 2..].starts_with(|c: char| c.is_uppercase() || c == '`')
            });
            assert!(!second, "two sentences on a line: {place}");
            let ends = [".", ":", ";", "?", "!", ")", "**"];
            wrapped = !ends.iter().any(|end| line.ends_with(end));
        }
    }
}

/// Every folder with Markdown files of the project.
const FOLDERS: &[&str] = &[
    "",
    "contrib",
    "crates/scram-core",
    "crates/scram-core/tests/testdata",
    "crates/sha256-lanes",
    "data",
    "docs",
    "docs/decisions",
    "pgrx-tests/clients",
];

/// The targets of a page's links that are not addresses of the web.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let links = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| !link.contains("://") && !link.contains(' '))
}

/// The anchors that GitHub makes of a page's headings.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings.map(|heading| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}
