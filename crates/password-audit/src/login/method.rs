//! Steps 3 and 5: the authentication method, and the stored secret that it needs.

use super::facts::{LoginFacts, LoginSecret, SecretForm};
use super::rule::{Decided, Outcome};
use super::{Refusal, Row, Stage, Step};
use crate::client_limits::refusing_clients;
use crate::hba::{AuthToken, HbaRule, Quoting};
use crate::identify::Kind;

/// Step 3.
pub(super) fn row(facts: &LoginFacts, decided: &Decided<'_>) -> Row {
    if facts.hba.error.is_some() {
        return Step::Method.row(None, "depends on the rule");
    }
    let Some(rule) = decided.rule() else {
        let ok = (decided.outcome() == Outcome::NoEntry).then_some(true);
        let detail = if ok.is_some() { "no rule names one" } else { "depends on the rule" };
        return Step::Method.row(ok, detail);
    };
    let method = &*rule.method;
    let map = option(rule, "map");
    match (decided.outcome(), method) {
        (Outcome::Rejected, _) => Step::Method.passed("reject lets no client in"),
        (Outcome::Unknown, _) => unknown(facts, rule),
        (Outcome::Passed, "trust") => Step::Method.passed("trust asks for no password"),
        (Outcome::Passed, _) => Step::Method.passed(format!("{method} asks for the password")),
        (Outcome::NoMapping, _) => {
            let map = map.unwrap_or_default();
            let role = &facts.request.role.text;
            Step::Method
                .refused(
                    Stage::Authentication,
                    failed(facts, rule),
                    format!("no line of map \"{map}\" in pg_ident.conf is for role \"{role}\""),
                )
                .with_line(format!("{} os_user \"{}\"", word(map), word_of_role(facts)))
        }
        _ => {
            let secret = facts.role.as_ref().and_then(|role| role.secret.as_ref());
            match secret.map(|secret| secret.form) {
                Some(SecretForm::Md5) if method == "scram-sha-256" => Step::Method
                    .refused(
                        Stage::Authentication,
                        failed(facts, rule),
                        "scram-sha-256 does not accept the MD5 hash that is stored",
                    )
                    .with_line(new_password(facts)),
                _ => Step::Method.passed(format!("{method} asks for the password")),
            }
        }
    }
}

/// A method that asks another system, or that a library takes part in.
fn unknown(facts: &LoginFacts, rule: &HbaRule) -> Row {
    let method = &*rule.method;
    let uses_own = crate::hba::uses_stored_password(method);
    let detail = match option(rule, "clientcert") {
        Some(_) => format!("{method}, and the client needs a certificate"),
        None if uses_own && facts.has_hook => {
            format!("{method}, and a library that the server has loaded may refuse the login")
        }
        None if uses_own => format!("{method} with an iteration count that clients may refuse"),
        None => match option(rule, "map") {
            Some(map) => format!("{method} asks another system; {}", allowed_by_map(facts, map)),
            None => format!("{method} asks another system than pg_authid"),
        },
    };
    Step::Method.unknown(Stage::Authentication, detail)
}

/// How authentication ends as far as a map of pg_ident.conf tells.
pub(super) fn by_map(facts: &LoginFacts, rule: &HbaRule) -> Outcome {
    let Some(map) = option(rule, "map") else { return Outcome::Unknown };
    let is_local = matches!(&*rule.method, "ident" | "peer");
    let Some(maps) = &facts.maps else { return Outcome::Unknown };
    let mut lines = maps.iter().filter(|line| line.map == map);
    if is_local && !lines.any(|line| may_allow(facts, &line.role)) {
        return Outcome::NoMapping;
    }
    Outcome::Unknown
}

/// Whether the third field of a line may stand for the role: by name, or by a form that is not evaluated here.
fn may_allow(facts: &LoginFacts, role: &str) -> bool {
    role == facts.request.role.text
        || role.contains("\\1")
        || facts.major >= 16 && (role == "all" || role.starts_with(['/', '+']))
}

/// A word as a file has it, in quotes where it needs them.
/// The role in pg_ident.conf, to be put in quotation marks.
fn word_of_role(facts: &LoginFacts) -> String {
    let role = AuthToken::of_name(&facts.request.role.text, facts.major >= 16);
    role.text.replace('"', "\"\"")
}

fn word(text: &str) -> String {
    AuthToken { text: text.to_owned(), quoting: Quoting::Quoted }.to_string()
}

fn allowed_by_map(facts: &LoginFacts, map: &str) -> String {
    const SHOWN: usize = 10;
    let Some(maps) = &facts.maps else {
        return "pg_ident.conf cannot be read, or was changed and may not be loaded yet".to_owned();
    };
    let lines = maps.iter().filter(|line| line.map == map);
    let users: Vec<_> = lines
        .filter(|line| may_allow(facts, &line.role))
        .map(|line| &*line.system)
        .take(SHOWN)
        .collect();
    match &users[..] {
        [] => format!("map \"{map}\" of pg_ident.conf lets no user in as this role"),
        users => format!("map \"{map}\" of pg_ident.conf lets in {}", users.join(", ")),
    }
}

/// The value of an option of a rule.
fn option<'a>(rule: &'a HbaRule, name: &str) -> Option<&'a str> {
    rule.options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

/// `auth_failed` in PostgreSQL's `src/backend/libpq/auth.c`.
fn failed(facts: &LoginFacts, rule: &HbaRule) -> Refusal {
    let role = &facts.request.role.text;
    match &*rule.method {
        // On a socket the server takes ident for peer.
        "ident" if facts.request.client.is_some() => {
            Refusal::new("28000", format!("Ident authentication failed for user \"{role}\""))
        }
        "ident" | "peer" => {
            Refusal::new("28000", format!("Peer authentication failed for user \"{role}\""))
        }
        _ => Refusal::new("28P01", format!("password authentication failed for user \"{role}\"")),
    }
}

/// The refusal of a password method, which does not tell why; `None` if no password is asked for.
pub(super) fn password_refusal(facts: &LoginFacts, decided: &Decided<'_>) -> Option<Refusal> {
    let rule = decided.rule().filter(|rule| asks_password(rule))?;
    (decided.outcome() == Outcome::WrongPassword).then(|| failed(facts, rule))
}

fn asks_password(rule: &HbaRule) -> bool {
    matches!(&*rule.method, "md5" | "password" | "scram-sha-256")
}

pub(super) fn new_password(facts: &LoginFacts) -> String {
    format!("SET password_encryption = 'scram-sha-256'; \\password {}", facts.request.role.sql)
}

/// Step 5.
pub(super) fn secret_row(facts: &LoginFacts, decided: &Decided<'_>) -> Row {
    let Some(role) = &facts.role else {
        return Step::Secret.passed("there is no role that could have a password");
    };
    let rule = decided.rule();
    let is_unused = rule.is_some_and(|rule| !asks_password(rule));
    let refusal = password_refusal(facts, decided);
    match (&role.secret, refusal) {
        (None, Some(refusal)) => Step::Secret
            .refused(Stage::Authentication, refusal, "the role has no password")
            .with_line(new_password(facts)),
        (None, None) => Step::Secret.passed("the role has no password, and none is asked for"),
        (Some(secret), Some(refusal)) if secret.form == SecretForm::Other => Step::Secret
            .refused(
                Stage::Authentication,
                refusal,
                format!("the stored secret ({}) is none that the server accepts", secret.kind),
            )
            .with_line(new_password(facts)),
        (Some(_), None) if is_unused => Step::Secret.passed("the method does not use it"),
        (Some(secret), _) => described(facts, rule, secret),
    }
}

fn described(facts: &LoginFacts, rule: Option<&HbaRule>, secret: &LoginSecret) -> Row {
    let mut detail = format!("stored as {}", secret.kind);
    if secret.kind == Kind::ScramLax {
        detail += ", not in the strict form";
    }
    let mut refusing = Vec::new();
    if let (SecretForm::Scram, Some(iterations)) = (secret.form, secret.iterations) {
        detail += &format!(", {iterations} iterations");
        // With the method password the client derives nothing.
        if rule.is_none_or(|rule| rule.method != "password") {
            refusing = refusing_clients(iterations, secret.salt_len.unwrap_or_default());
            if facts.request.uses_tls() {
                detail += ", channel binding is possible";
            }
        }
    }
    if refusing.is_empty() {
        return Step::Secret.passed(detail);
    }
    // The server accepts it, so that only the client decides.
    Step::Secret.row(None, format!("{detail}; these clients refuse it: {}", refusing.join(", ")))
}
