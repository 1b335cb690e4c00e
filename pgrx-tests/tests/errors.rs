//! Errors as a client gets them: SQLSTATE, message, DETAIL and HINT, and no secret in any of them.
//!
//! The table below belongs to the contract: each failure, its SQLSTATE, and words that the user
//! must read. `expected/errors.tsv` has the full wording; `make expected` rewrites it.

#[path = "errors/roles.rs"]
mod roles;

#[path = "errors/cases.rs"]
mod cases;

use postgres::Client;
use scram_ext_client_tests::expected::assert_matches_file;
use scram_ext_client_tests::{Cluster, Raised};

use cases::CASES;

/// The salt of `hunter2`'s verifier as PostgreSQL would store it. The cases break the verifier part
/// by part.
const SALT: &str = "c2VjcmV0LXNhbHQtMTIzNA==";
const STORED_KEY: &str = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=";
const SERVER_KEY: &str = "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// The verifier of the empty password.
const EMPTY: &str = "SCRAM-SHA-256$4096:c2FsdA==$oQKhUpZ8ZCSt/PIfYWS7v6gCcYNXgSk1XPQTp7UKcUY=:UOnDYDtjiNdPioWgm74LGN6HIzsybmGE0sdhZ2KbBrI=";

/// Texts that no error may show: passwords, and any part of a verifier.
const SECRETS: &[&str] = &["hunter2", SALT, STORED_KEY, SERVER_KEY, "c2VjcmV0", "WG5d8", "wfPLw"];

struct Case {
    /// `{v}` is replaced by a good verifier; `{salt}`, `{stored}` and `{server}` by its parts.
    sql: &'static str,
    code: &'static str,
    /// Words that DETAIL must have.
    detail: &'static [&'static str],
    /// Words that HINT must have.
    hint: &'static [&'static str],
}

const fn case(sql: &'static str, code: &'static str) -> Case {
    Case { sql, code, detail: &[], hint: &[] }
}

const fn told(sql: &'static str, code: &'static str, detail: &'static [&'static str]) -> Case {
    Case { sql, code, detail, hint: &[] }
}

const fn hinted(sql: &'static str, code: &'static str, hint: &'static [&'static str]) -> Case {
    Case { sql, code, detail: &[], hint }
}

const MALFORMED: &str = "22P02";
const PARAMETER: &str = "22023";
const CHECK_VIOLATION: &str = "23514";
const NULL: &str = "22004";
const ACTIVE_TRANSACTION: &str = "25001";
const DUPLICATE: &str = "42710";
const STATE: &str = "55000";
const READ_ONLY: &str = "25006";
const UNDEFINED: &str = "42704";

#[test]
fn errors() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    // A setting is known, and its prefix reserved, once the library is there.
    client.batch_execute("LOAD 'scram_ext'").expect("the library");

    let mut wrong = Vec::new();
    let mut lines = Vec::new();
    for case in CASES.iter().chain(roles::CASES) {
        let sql = fill(case.sql);
        match attempt(&mut client, &sql) {
            Some(raised) => {
                wrong.extend(complaints(case, &raised));
                let text =
                    |part: &Option<String>| part.as_deref().unwrap_or("-").replace('\n', "⏎");
                let one_line = case.sql.split_whitespace().collect::<Vec<_>>().join(" ");
                lines.push(
                    [
                        one_line.as_str(),
                        &raised.code,
                        &raised.message,
                        &text(&raised.detail),
                        &text(&raised.hint),
                    ]
                    .join("\t"),
                );
            }
            None => wrong.push(format!("no error: {}", case.sql)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_matches_file("errors.tsv", &lines);
}

/// The error of the last statement; the statements before it must succeed.
fn attempt(client: &mut Client, sql: &str) -> Option<Raised> {
    let result = match sql.strip_prefix("BEGIN; ") {
        Some(rest) => {
            client.batch_execute("BEGIN").expect("BEGIN");
            client.simple_query(rest)
        }
        None => client.simple_query(sql),
    };
    let raised = result.err().map(|error| Raised::from_error(&error));
    client.batch_execute("ROLLBACK").expect("the session goes on");
    raised
}

/// The differences between the error and the case.
fn complaints(case: &Case, raised: &Raised) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut complain = |what: String| wrong.push(format!("{what}: {}\n    {raised:?}", case.sql));
    if raised.code != case.code {
        complain(format!("not {}", case.code));
    }
    let detail = raised.detail.as_deref().unwrap_or_default();
    if case.code == MALFORMED && detail.is_empty() {
        complain("DETAIL names no part".to_owned());
    }
    for word in case.detail.iter().filter(|word| !detail.contains(**word)) {
        complain(format!("DETAIL without {word:?}"));
    }
    let hint = raised.hint.as_deref().unwrap_or_default();
    for word in case.hint.iter().filter(|word| !hint.contains(**word)) {
        complain(format!("HINT without {word:?}"));
    }
    for secret in SECRETS {
        if let Some(text) = raised.texts().find(|text| text.contains(secret)) {
            complain(format!("a secret in {text:?}"));
        }
    }
    wrong
}

fn fill(sql: &str) -> String {
    sql.replace("{empty}", EMPTY)
        .replace("{v}", "SCRAM-SHA-256$4096:{salt}${stored}:{server}")
        .replace("{salt}", SALT)
        .replace("{stored}", STORED_KEY)
        .replace("{server}", SERVER_KEY)
        .replace("{{", "{")
        .replace("}}", "}")
}
