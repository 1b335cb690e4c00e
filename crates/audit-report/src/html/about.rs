//! The sections of docs/checks.md in the page, because the page makes no request for them.

use maud::{Markup, html};

const PAGE: &str = include_str!("../../../../docs/checks.md");

/// What docs/checks.md says about a check; empty for a check that it does not know.
pub(super) fn about(id: &str) -> Markup {
    let text = section(id).unwrap_or_default();
    html! {
        @if !text.is_empty() {
            details.about {
                summary { "About this check" }
                @for part in parts(text) {
                    @match part {
                        Part::Code(code) => pre tabindex="0" { (code) },
                        Part::Text(text) => p { (inline(text)) },
                    }
                }
            }
        }
    }
}

/// The text below the heading of a check.
fn section(id: &str) -> Option<&'static str> {
    let (_, rest) = PAGE.split_once(&format!("\n## `{id}`\n"))?;
    Some(rest.split("\n## ").next().unwrap_or(rest).trim())
}

enum Part<'a> {
    Code(&'a str),
    Text(&'a str),
}

/// Paragraphs and blocks of code. The page has no other elements of Markdown in these sections.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for (number, piece) in text.split("```").enumerate() {
        if number % 2 == 1 {
            // The first line is the language.
            parts.push(Part::Code(
                piece.split_once('\n').map_or(piece, |(_, code)| code.trim_end()),
            ));
        } else {
            let paragraphs = piece.split("\n\n").map(str::trim).filter(|text| !text.is_empty());
            parts.extend(paragraphs.map(Part::Text));
        }
    }
    parts
}

/// Code, strong text and links, of which the page keeps the words.
fn inline(text: &str) -> Markup {
    html! {
        @for (number, piece) in text.split('`').enumerate() {
            @if number % 2 == 1 {
                code { (piece) }
            } @else {
                @for (number, piece) in piece.split("**").enumerate() {
                    @if number % 2 == 1 { strong { (without_links(piece)) } } @else { (without_links(piece)) }
                }
            }
        }
    }
}

/// `[words](address)` becomes `words`. The words of a link can hold code, so the two halves of a link may be in
/// different pieces of the text.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain.replace('[', "")
}
