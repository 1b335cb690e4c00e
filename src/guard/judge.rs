//! Collects what the rules look at, and asks them.

use std::time::Instant;

use password_audit::guard::{self, History, PlainText, REUSED, Verdict};
use password_audit::{Kind, Origin, Policy, RoleFacts, Subject};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;

use crate::guc;
use crate::history;
use crate::limits::MAX_PASSWORD_LEN;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::scram_secret;
use crate::pg::text::ServerText;
use crate::pg::{clock, interrupt};
use crate::wordlist;

/// The length in bytes of the salts that the server makes (`SCRAM_DEFAULT_SALT_LEN`,
/// src/include/common/scram-common.h).
const SERVER_SALT_LEN: usize = 16;

const MICROSECONDS_PER_YEAR: i64 = 31_556_952 * 1_000_000;

/// A password as CREATE ROLE and ALTER ROLE take it.
pub(super) struct Password {
    text: ServerText,
    is_plain: bool,
}

impl Password {
    pub(super) fn new(text: ServerText, kind: pg_sys::PasswordType::Type) -> Self {
        let is_plain = kind == pg_sys::PasswordType::PASSWORD_TYPE_PLAINTEXT;
        Self { text, is_plain }
    }

    /// With the type that the server would find.
    pub(super) fn of_text(text: ServerText) -> Self {
        let is_plain = match scram_secret::kind(&text) {
            Kind::Md5 => false,
            _ => !scram_secret::server_accepts(text.as_bytes()),
        };
        Self { text, is_plain }
    }
}

/// The verdicts of all rules.
pub(super) fn judge(name: &ServerText, password: &Password) -> Result<Vec<Verdict>, ErrorReport> {
    let until = Instant::now() + guc::guard_time();
    let history = history(name, password)?;
    let words: Vec<_> = wordlist::words().collect();
    // The server hashes a plain text with the session's count.
    let server_iterations = guc::session_iterations();
    let policy = Policy { server_iterations, ..guc::policy(Vec::new(), year()) };
    let subject = Subject {
        name: name.to_utf8().unwrap_or_else(|| name.to_display()),
        name_bytes: name.as_bytes().to_vec(),
        origin: Origin::Role(RoleFacts::of_login(false, false)),
        secret: (!password.is_plain).then(|| scram_secret::stored_secret(&password.text)),
    };
    if !password.is_plain {
        let is_over = || Instant::now() >= until;
        return Ok(guard::judge_hash(
            &subject,
            &policy,
            &words,
            history,
            is_over,
            interrupt::check,
        ));
    }
    let bytes = password.text.as_bytes();
    let plain = PlainText {
        // No name and no word is as long.
        bytes: bytes.get(..MAX_PASSWORD_LEN).unwrap_or(bytes),
        characters: password.text.characters(),
        min_characters: guc::guard_min_length(),
        kind: scram_secret::kind(&password.text),
        salt_len: (!guc::stores_md5()).then_some(SERVER_SALT_LEN),
    };
    Ok(guard::judge_plain(&subject, &policy, &plain, &words, history))
}

/// Whether the password is one of the role's earlier ones, which the server's log tells.
pub(super) fn is_earlier(verdicts: &[Verdict]) -> bool {
    verdicts.iter().any(|verdict| verdict.rule == REUSED && verdict.ok == Some(false))
}

fn history(name: &ServerText, password: &Password) -> Result<History, ErrorReport> {
    if guc::password_history().is_none() {
        return Ok(History::Unknown("scram.password_history is off"));
    }
    let Some(role) = CatalogRole::lookup(name.as_bytes()) else {
        return Ok(History::Unknown("the role does not exist yet"));
    };
    if !history::is_readable() {
        return Ok(History::Unknown("the history cannot be read in this database"));
    }
    if role.secret.as_ref().is_some_and(|stored| stored.as_bytes() == password.text.as_bytes()) {
        return Ok(History::Lacks);
    }
    if !password.is_plain {
        return Ok(if history::holds_verifier(&role, &password.text)? {
            History::Holds
        } else {
            History::Unknown("a hash does not tell whether its password is an earlier one")
        });
    }
    if password.text.len() > MAX_PASSWORD_LEN {
        return Ok(History::Lacks);
    }
    let prepared = password.text.password()?;
    // The role's present password does not come back.
    let holds = !role.has_password(&prepared) && history::holds(&role, &prepared)?;
    Ok(if holds { History::Holds } else { History::Lacks })
}

fn year() -> i32 {
    i32::try_from(2000 + clock::now() / MICROSECONDS_PER_YEAR).unwrap_or(2000)
}
