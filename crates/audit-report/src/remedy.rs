//! Commands that end findings, ready to paste: statements, and lines of pg_hba.conf.
//!
//! A name stands in a command only if the reader sees it as it is. For other names, and for those
//! that do not fit into a line, the command looks the name up by the number of the finding.

use password_audit::{LOGGING_SETTINGS, library_names};
use textwrap::core::display_width;

use crate::model::{Finding, Report};
use crate::show::visible;

/// How many findings of a check have their commands in a report.
const WITH_COMMANDS: usize = 5;

/// The lifetime of a password that has to expire, as an interval of SQL.
const LIFETIME: &str = "interval '90 days'";

/// The commands for the first findings of a check, in lines of at most `width` columns. Empty where
/// the remedy of the check has no command for them.
pub(crate) fn commands(
    report: &Report,
    id: &str,
    findings: &[&Finding],
    width: usize,
) -> Vec<String> {
    let first = &findings[..findings.len().min(WITH_COMMANDS)];
    let each = first.iter().flat_map(|finding| one(report, id, finding, width));
    let mut lines: Vec<String> = each.collect();
    lines.dedup();
    let needs_reload = matches!(id, "hba_trust" | "hba_password" | "hba_md5")
        || matches!(id, "password_encryption_md5" | "passwords_logged" | "iterations_setting_low")
        || id == "guard_off";
    if needs_reload && !lines.is_empty() {
        lines.push("SELECT pg_reload_conf();".to_owned());
    }
    lines
}

/// The statement that lists the open findings of a check.
pub(crate) fn listing(report: &Report, id: &str, severity: &str) -> String {
    let run = report.run.run_id;
    let stands = if report.is_latest {
        "status = 'open' AND NOT is_off".to_owned()
    } else {
        format!("{run} BETWEEN first_run AND last_run")
    };
    format!(
        "SELECT source, subject, evidence FROM scram.audit_finding WHERE check_id = {} AND severity = '{severity}' AND {stands};",
        literal(&visible(id))
    )
}

fn one(report: &Report, id: &str, finding: &Finding, width: usize) -> Vec<String> {
    match finding.source.as_str() {
        "role" => role(id, finding, width),
        "server" => server(report, id, finding, width),
        // The application sets the passwords of its users.
        _ => Vec::new(),
    }
}

fn role(id: &str, finding: &Finding, width: usize) -> Vec<String> {
    let role = Role { finding, width };
    match id {
        "password_empty"
        | "password_is_name"
        | "password_in_wordlist"
        | "md5_hash"
        | "scram_malformed"
        | "scram_lax"
        | "iterations_below_policy"
        | "iterations_above_clients"
        | "iterations_reveal_role"
        | "salt_short"
        | "salt_derived"
        | "salt_shared"
        | "verifier_shared"
        | "password_unchanged"
        | "login_without_password" => role.call("scram.rotate_role(", ")"),
        "password_expired" | "password_expires_soon" | "password_never_expires" => {
            role.call("scram.rotate_role(", &format!(", valid_until => now() + {LIFETIME})"))
        }
        "password_without_login" => role.statement("ALTER ROLE ", " PASSWORD NULL"),
        "role_setting_override" => overrides(&finding.evidence)
            .flat_map(|(name, database)| {
                let place = database.map(|database| format!(" IN DATABASE {database}"));
                role.statement(
                    "ALTER ROLE ",
                    &format!("{} RESET {name}", place.unwrap_or_default()),
                )
            })
            .collect(),
        "hash_readable" => {
            let what = finding.evidence.split("; ").next().unwrap_or_default();
            match what {
                "SELECT on pg_authid" => role.statement("REVOKE SELECT ON pg_authid FROM ", ""),
                "SELECT on pg_shadow" => role.statement("REVOKE SELECT ON pg_shadow FROM ", ""),
                "member of pg_read_all_data" => role.statement("REVOKE pg_read_all_data FROM ", ""),
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

fn server(report: &Report, id: &str, finding: &Finding, width: usize) -> Vec<String> {
    let subject = finding.subject.as_str();
    let lines = match id {
        "password_encryption_md5" => {
            vec!["ALTER SYSTEM SET password_encryption = 'scram-sha-256';".to_owned()]
        }
        "iterations_setting_low" if has_iterations_setting(report) => {
            vec![format!("ALTER SYSTEM SET scram_iterations = {};", report.min_iterations)]
        }
        "guard_off" => guard(&finding.evidence),
        "passwords_logged" => LOGGING_SETTINGS
            .iter()
            .filter(|(name, _)| *name == subject)
            .map(|(name, value)| format!("ALTER SYSTEM SET {name} = {};", literal(value)))
            .collect(),
        "role_setting_override" => overrides(&finding.evidence)
            .filter_map(|(name, _)| match subject {
                "all roles" => Some(format!("ALTER ROLE ALL RESET {name};")),
                // The name is quoted where it needs to be.
                _ => subject
                    .strip_prefix("database ")
                    .map(|database| format!("ALTER DATABASE {database} RESET {name};")),
            })
            .collect(),
        "hash_readable" if finding.evidence.ends_with("and PUBLIC may call it") => subject
            .strip_prefix("function ")
            .map(|function| format!("REVOKE EXECUTE ON ROUTINE {function} FROM PUBLIC;"))
            .into_iter()
            .collect(),
        "hash_readable" if finding.evidence.ends_with("and PUBLIC may read it") => subject
            .strip_prefix("view ")
            .or_else(|| subject.strip_prefix("materialized view "))
            .map(|view| format!("REVOKE SELECT ON {view} FROM PUBLIC;"))
            .into_iter()
            .collect(),
        "hba_not_loaded" => vec!["SELECT pg_reload_conf();".to_owned()],
        "hba_trust" | "hba_password" | "hba_md5" => {
            rule(finding, id.trim_start_matches("hba_"), width)
        }
        "source_unreadable" if finding.evidence.contains("SQLSTATE 42P01") => subject
            .strip_prefix("source ")
            .map(|source| format!("SELECT scram.drop_audit_source({});", literal(source)))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    };
    let is_shown = |line: &String| {
        let without_continuation = line.strip_suffix('\\').unwrap_or(line);
        display_width(line) <= width && visible_in_command(without_continuation)
    };
    if lines.iter().all(is_shown) { lines } else { Vec::new() }
}

/// A finding on a role, and the room for its command.
struct Role<'a> {
    finding: &'a Finding,
    width: usize,
}

impl Role<'_> {
    /// `SELECT {before}'name'{after};`
    fn call(&self, before: &str, after: &str) -> Vec<String> {
        let name = &self.finding.subject;
        self.direct(format!("SELECT {before}{}{after};", literal(name))).unwrap_or_else(|| {
            let broken = after.replacen(", ", ",\n    ", 1);
            let text = format!(
                "SELECT {before}f.subject::name{broken}\nFROM scram.audit_finding f WHERE f.finding_id = {};",
                self.finding.finding_id
            );
            text.lines().map(str::to_owned).collect()
        })
    }

    /// `{before}"name"{after};`, unless `after` names what no reader sees or no line holds.
    fn statement(&self, before: &str, after: &str) -> Vec<String> {
        if !visible_in_command(after) {
            return Vec::new();
        }
        let name = &self.finding.subject;
        self.direct(format!("{before}{}{after};", identifier(name))).unwrap_or_else(|| {
            // A percent sign of another name is none of format().
            let template = format!("{before}%I{}", after.replace('%', "%%"));
            let lines = vec![
                format!("SELECT format({}, f.subject)", literal(&template)),
                format!(
                    "FROM scram.audit_finding f WHERE f.finding_id = {} \\gexec",
                    self.finding.finding_id
                ),
            ];
            self.fitting(lines).unwrap_or_default()
        })
    }

    fn direct(&self, line: String) -> Option<Vec<String>> {
        if !visible_in_command(&self.finding.subject) {
            return None;
        }
        if display_width(&line) <= self.width {
            return Some(vec![line]);
        }
        // Only between arguments, so that the names stay whole.
        let (first, rest) = line.split_once(", valid_until")?;
        let lines = vec![format!("{first},"), format!("    valid_until{rest}")];
        self.fitting(lines)
    }

    /// The lines, if there is room for each.
    fn fitting(&self, lines: Vec<String>) -> Option<Vec<String>> {
        lines.iter().all(|line| display_width(line) <= self.width).then_some(lines)
    }
}

/// The settings that the evidence names, each with the database that it is for, quoted where it needs
/// to be.
fn overrides(evidence: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    parts(evidence).into_iter().filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_known = matches!(
            name.to_ascii_lowercase().as_str(),
            "password_encryption" | "scram_iterations"
        );
        is_known.then(|| (name, value.split_once(" in database ").map(|(_, database)| database)))
    })
}

/// The parts of evidence between semicolons. One in quotation marks belongs to a name, which any role with
/// CREATEDB may choose: the rest of that name is no command.
fn parts(evidence: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, character) in evidence.char_indices() {
        quoted ^= character == '"';
        if !quoted && evidence[at..].starts_with("; ") {
            parts.push(&evidence[start..at]);
            start = at + 2;
        }
    }
    parts.push(&evidence[start..]);
    parts
}

/// Turns the guard on for every session, behind the libraries that are there. The server knows the setting only in sessions that
/// have loaded the library.
fn guard(evidence: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for part in parts(evidence) {
        if part == "scram.guard is off" {
            lines.push("LOAD 'scram_ext';".to_owned());
            lines.push("ALTER SYSTEM SET scram.guard = 'warn';".to_owned());
        } else if let Some(list) = part.strip_prefix("session_preload_libraries is ") {
            // A list with an empty name keeps every session out.
            let names = library_names(list).into_iter();
            let names = names.filter(|name| !name.is_empty() && name != "empty");
            let names = names.chain(["scram_ext".to_owned()]).map(|name| literal(&name));
            let names: Vec<String> = names.collect();
            lines.push(format!(
                "ALTER SYSTEM SET session_preload_libraries = {};",
                names.join(", ")
            ));
        }
    }
    lines
}

/// The rule as it should be, below a comment that says where it goes.
fn rule(finding: &Finding, method: &str, width: usize) -> Vec<String> {
    let text = without_rank(&finding.subject);
    // A text that was cut is no rule.
    if text.contains("... (digest ") {
        return Vec::new();
    }
    let mut words = words(text);
    // The words up to the method are type, databases, users, and an address unless it is local.
    let first_method = if text.starts_with("local ") { 3 } else { 4 };
    let at = words.iter().skip(first_method).position(|word| *word == method);
    match at {
        Some(at) => words[first_method + at] = "scram-sha-256".to_owned(),
        None => return Vec::new(),
    }
    let place = visible(finding.evidence.rsplit("; ").next().unwrap_or_default());
    let mut lines = vec![format!("# {place}, in place of the rule with {method}:"), String::new()];
    for word in words {
        let line = lines.last_mut().expect("it has two lines");
        if !line.is_empty() && display_width(line) + display_width(&word) + 3 > width {
            // The server joins a line that ends in a backslash with the next one.
            line.push_str(" \\");
            lines.push(format!("    {word}"));
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    lines
}

/// The rule without the number that tells it from earlier ones of the same text.
fn without_rank(subject: &str) -> &str {
    match subject.rsplit_once(" #") {
        Some((rule, rank)) if rank.bytes().all(|byte| byte.is_ascii_digit()) => rule,
        _ => subject,
    }
}

/// The words of a rule; blanks in quotation marks part none.
fn words(rule: &str) -> Vec<String> {
    let mut quoted = false;
    rule.split(|character| {
        quoted ^= character == '"';
        character == ' ' && !quoted
    })
    .filter(|word| !word.is_empty())
    .map(str::to_owned)
    .collect()
}

/// Whether PostgreSQL has the setting `scram_iterations`.
fn has_iterations_setting(report: &Report) -> bool {
    let version = &report.cluster.server_version;
    let major = version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    major.parse::<u32>().is_ok_and(|major| major >= 16)
}

/// Whether people see this text as it is. A backslash would be an escape in some settings.
fn visible_in_command(text: &str) -> bool {
    visible(text) == text
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
