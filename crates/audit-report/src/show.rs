//! How things are shown to people.

use crate::model::{Finding, Timestamp};

/// A text from a catalog as one line. Unprintable characters are escaped: line breaks, control
/// sequences of terminals, bidirectional controls, invisible characters.
pub(crate) fn visible(text: &str) -> String {
    // `escape_debug` escapes quotation marks too, which is not needed here.
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// Like [`visible`], in quotation marks unless it is a plain word.
pub(crate) fn name(text: &str) -> String {
    let shown = visible(text);
    let plain = |c: char| c.is_alphanumeric() || "_-.$@:/+".contains(c);
    if !shown.is_empty() && shown.chars().all(plain) {
        return shown;
    }
    format!("\"{}\"", shown.replace('"', "\"\""))
}

/// The subject of a finding, with its source unless that is `role` or `server`.
pub(crate) fn subject(source: &str, subject: &str) -> String {
    match source {
        "role" | "server" => name(subject),
        _ => format!("{} in {}", name(subject), name(source)),
    }
}

/// The text, or as many characters of it and an ellipsis.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// `1,234,567`.
pub(crate) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut shown = String::from(if value < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 role`, `2 roles`.
pub(crate) fn counted(count: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// `2026-11-22 03:17:04 UTC`.
pub(crate) fn time(moment: &Timestamp) -> String {
    format!("{} UTC", moment.utc.trim_end_matches('Z').replace('T', " "))
}

/// `2026-11-22`.
pub(crate) fn day(moment: &Timestamp) -> &str {
    moment.utc.split_once('T').map_or(moment.utc.as_str(), |(day, _)| day)
}

/// `31 ms`, `2.4 s`, `2 min 5 s`, `3 h 12 min`.
pub(crate) fn duration(seconds: f64) -> String {
    // Whole seconds of a run fit with room to spare; a negative one was made 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
    let whole = seconds.round() as u64;
    match whole {
        0 => format!("{:.0} ms", seconds * 1000.0),
        1..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Since when a finding exists: the day of the first run, or its number if that run was pruned.
pub(crate) fn since(finding: &Finding) -> String {
    match &finding.first_seen {
        Some(moment) => day(moment).to_owned(),
        None => format!("run {}", finding.first_run),
    }
}

/// How long a finding is accepted.
pub(crate) fn accepted_until(finding: &Finding) -> String {
    match &finding.accepted_until {
        Some(moment) => format!("until {}", day(moment)),
        None => "for ever".to_owned(),
    }
}

/// A stored secret in words: `scram-sha-256, 4,096 iterations`.
pub(crate) fn stored(kind: &str, iterations: Option<i32>) -> String {
    match (kind, iterations) {
        ("none", _) => "no password".to_owned(),
        ("unknown", _) => "no known hash, maybe plain text".to_owned(),
        (kind, Some(1)) => format!("{}, 1 iteration", visible(kind)),
        (kind, Some(count)) => {
            format!("{}, {} iterations", visible(kind), number(count.into()))
        }
        (kind, None) => visible(kind),
    }
}
