//! Rules on the server's settings and on pg_hba.conf.

use crate::hba::{HbaFile, Matches};
use crate::{Policy, ServerConfig, ServerHit, library_names};

pub(super) fn password_encryption_md5(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    server
        .setting("password_encryption")
        .filter(|value| *value == "md5")
        .map(|value| hit("password_encryption", format!("password_encryption is {value}")))
        .into_iter()
        .collect()
}

pub(super) fn iterations_setting_low(_: &ServerConfig, policy: &Policy) -> Vec<ServerHit> {
    if i64::from(policy.server_iterations) >= i64::from(policy.min_iterations) {
        return Vec::new();
    }
    let evidence = format!(
        "the server's own count is {}, at least {} wanted",
        policy.server_iterations, policy.min_iterations
    );
    vec![hit("scram_iterations", evidence)]
}

pub(super) fn setting_override(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    server.overrides.iter().map(|(whose, setting)| hit(whose, setting.clone())).collect()
}

pub(super) fn hba_trust(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    hba(server, "trust")
}

pub(super) fn hba_password(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    hba(server, "password")
}

pub(super) fn hba_md5(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    hba(server, "md5")
}

pub(super) fn hba_unreadable(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    let HbaFile { name, error, .. } = &server.hba_file;
    let hit = |error: &String| {
        let effect = "the server keeps the rules that it loaded before, and would not start";
        hit(name, format!("{error}; {effect}"))
    };
    error.iter().map(hit).collect()
}

pub(super) fn hba_not_loaded(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    let HbaFile { name, is_newer, .. } = &server.hba_file;
    let evidence = "the file was changed after the server last loaded its configuration";
    is_newer.then(|| hit(name, evidence.to_owned())).into_iter().collect()
}

/// A function or view for one role, as a pooler needs it, is less severe than one for every role.
pub(super) fn hash_readable(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    let paths = server.hash_paths.iter();
    paths
        .filter(|path| path.is_public || !path.readers.is_empty())
        .map(|path| {
            let verb = if path.name.starts_with("function ") { "call" } else { "read" };
            let readers = match path.is_public {
                true => "PUBLIC".to_owned(),
                false => some_of(&path.readers),
            };
            let evidence = format!(
                "{} looks like it returns stored hashes with the rights of \"{}\", and {readers} may {verb} it",
                path.name, path.owner
            );
            ServerHit { lowered: !path.is_public, ..hit(&path.name, evidence) }
        })
        .collect()
}

/// Settings that write `ALTER ROLE … PASSWORD '…'`, or a call of a function with a password, down
/// although it succeeds, and the value that keeps each from it.
pub const LOGGING_SETTINGS: &[(&str, &str)] = &[
    ("auto_explain.log_min_duration", "-1"),
    ("debug_print_parse", "off"),
    ("debug_print_plan", "off"),
    ("debug_print_rewritten", "off"),
    ("log_min_duration_sample", "-1"),
    ("log_min_duration_statement", "-1"),
    ("log_statement", "none"),
    ("log_transaction_sample_rate", "0"),
    ("pg_stat_statements.track_utility", "off"),
    ("pgaudit.log", "none"),
];

pub(super) fn passwords_logged(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    LOGGING_SETTINGS
        .iter()
        .filter_map(|&(name, silent)| Some((name, silent, server.setting(name)?)))
        .filter(|(_, silent, value)| value != silent && !value.is_empty())
        .map(|(name, _, value)| hit(name, format!("{name} is {value}")))
        .collect()
}

/// Lists of libraries that every session loads.
const PRELOADED: [&str; 2] = ["session_preload_libraries", "shared_preload_libraries"];

/// The guard judges in sessions that have loaded the library, so every session has to load it.
pub(super) fn guard_off(server: &ServerConfig, _: &Policy) -> Vec<ServerHit> {
    let Some(mode) = server.setting("scram.guard") else { return Vec::new() };
    let mut evidence = Vec::new();
    if mode == "off" {
        evidence.push("scram.guard is off".to_owned());
    }
    let mut libraries = PRELOADED.iter().filter_map(|name| server.setting(name));
    if !libraries.any(|list| library_names(list).iter().any(|name| is_this_library(name))) {
        evidence.push(match server.setting("session_preload_libraries") {
            None | Some("") => "session_preload_libraries is empty".to_owned(),
            Some(list) => format!("session_preload_libraries is {list}"),
        });
    }
    match evidence.is_empty() {
        true => Vec::new(),
        false => vec![hit("scram.guard", evidence.join("; "))],
    }
}

/// A name in a list of libraries: with or without its folder and the ending of its file.
fn is_this_library(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.strip_suffix(".so").unwrap_or(file) == "scram_ext"
}

/// Rules with this method. One that lets in superusers alone is less severe by a step, because they
/// are few, and each of them may change the rules.
fn hba(server: &ServerConfig, method: &str) -> Vec<ServerHit> {
    let rules = server.hba.iter().filter(|rule| rule.method == method);
    rules
        .map(|rule| {
            let roles = match &rule.roles {
                Matches::EveryLogin => "decides about every role that may log in; ".to_owned(),
                Matches::Roles(roles) => format!("decides about {}; ", some_of(roles)),
                Matches::Superusers(roles) => {
                    format!("decides about superusers only: {}; ", some_of(roles))
                }
                Matches::Unknown => String::new(),
            };
            // The subject is all that is judged.
            ServerHit {
                lowered: matches!(rule.roles, Matches::Superusers(_)),
                context: format!("{roles}{}", rule.location),
                ..hit(&rule.text, String::new())
            }
        })
        .collect()
}

fn some_of(roles: &[String]) -> String {
    const NAMED: usize = 5;

    let names = roles.iter().take(NAMED).map(|role| format!("\"{role}\"")).collect::<Vec<_>>();
    match roles.len() {
        0 => "no role: no such role, earlier rules decide, or the server does not listen there"
            .to_owned(),
        len if len > NAMED => format!("{} and {} more", names.join(", "), len - NAMED),
        _ => names.join(", "),
    }
}

fn hit(subject: &str, evidence: String) -> ServerHit {
    ServerHit { lowered: false, subject: subject.to_owned(), evidence, context: String::new() }
}
