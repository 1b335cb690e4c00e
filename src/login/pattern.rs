//! Names in pg_hba.conf that begin with a slash: regular expressions since PostgreSQL 16, which the server itself
//! evaluates here.

use password_audit::HbaRule;
use password_audit::hba::AuthToken;
use password_audit::login::LoginRequest;
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::query::{one_row, query};
use crate::pg::text::ServerText;

/// With the collation that the server compiles the patterns of a file with.
const MATCHES: &str = r#"SELECT ($1 COLLATE "C") ~ $2 AS matches"#;

/// Puts `all` in the place of patterns that match the login's role or database, because a name may begin with a slash
/// too, and removes the other patterns.
/// The text of each rule stays.
pub(super) fn resolve(rules: &mut [HbaRule], request: &LoginRequest) -> Result<(), ErrorReport> {
    for rule in rules {
        resolve_in(&mut rule.users, &request.role.text)?;
        resolve_in(&mut rule.databases, &request.database.text)?;
    }
    Ok(())
}

fn resolve_in(tokens: &mut Vec<AuthToken>, name: &str) -> Result<(), ErrorReport> {
    let mut resolved = Vec::with_capacity(tokens.len());
    for token in tokens.drain(..) {
        let Some(pattern) = token.text.strip_prefix('/') else {
            resolved.push(token);
            continue;
        };
        let arguments = [name, pattern].map(|text| Some(ServerText::from_utf8(text)).into());
        if one_row(query(MATCHES, &arguments, |row| row.value("matches"))?)? {
            resolved.push(AuthToken::plain("all"));
        }
    }
    *tokens = resolved;
    Ok(())
}
