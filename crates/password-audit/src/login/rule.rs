//! Step 2: the rule of pg_hba.conf that decides.

use super::facts::{LoginFacts, SecretForm};
use super::{Refusal, Row, Stage, Step};
use crate::hba::{AuthToken, Condition, Connection, Decision, HbaRule};

/// The rules that may decide about the login, and how authentication ends by each.
pub(super) struct Decided<'a> {
    decision: Decision,
    possible: Vec<&'a HbaRule>,
    /// How authentication ends by each of the rules that may decide; `None` for no rule.
    outcomes: Vec<Outcome>,
}

/// How authentication ends, if the client knows the password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The map of pg_ident.conf has no line for the role.
    NoMapping,
    NoEntry,
    Rejected,
    Passed,
    WrongPassword,
    Unknown,
}

impl<'a> Decided<'a> {
    pub(super) fn new(facts: &'a LoginFacts) -> Self {
        let request = &facts.request;
        let connection = Connection {
            client: request.client,
            tls: request.uses_tls(),
            role: &request.role.text,
            groups: facts
                .role
                .as_ref()
                .map(|role| role.groups.iter().map(String::as_str).collect()),
            database: (!request.replication).then_some(&*request.database.text),
            interfaces: &facts.listening.interfaces,
            patterns: facts.major >= 16,
        };
        let decision = connection.decide(&facts.hba.rules);
        let possible: Vec<_> =
            decision.possible.iter().filter_map(|index| facts.hba.rules.get(*index)).collect();
        let mut outcomes: Vec<_> = possible.iter().map(|rule| outcome(facts, rule)).collect();
        if facts.hba.error.is_some() {
            outcomes = vec![Outcome::Unknown];
        } else if !decision.is_certain {
            outcomes.push(Outcome::NoEntry);
        }
        Self { decision, possible, outcomes }
    }

    /// How authentication ends; [`Outcome::Unknown`] also where the possible rules end differently.
    pub(super) fn outcome(&self) -> Outcome {
        match self.outcomes[..] {
            [first, ref others @ ..] if others.iter().all(|other| *other == first) => first,
            _ => Outcome::Unknown,
        }
    }

    /// The rule that decides, or the first of those that may and end in the same way.
    pub(super) fn rule(&self) -> Option<&'a HbaRule> {
        match self.possible[..] {
            [rule] if self.decision.is_certain && self.outcomes.len() == 1 => Some(rule),
            [rule, ..] if self.outcome() != Outcome::Unknown => Some(rule),
            _ => None,
        }
    }
}

/// How authentication ends by this rule.
fn outcome(facts: &LoginFacts, rule: &HbaRule) -> Outcome {
    let role = facts.role.as_ref();
    let secret = role.filter(|role| !role.is_expired).and_then(|role| role.secret.as_ref());
    let form = secret.map(|secret| secret.form);
    let is_odd = secret.is_some_and(|secret| secret.iterations.is_some_and(|count| count < 1));
    let asks_certificate = rule.options.iter().any(|option| option.starts_with("clientcert="));
    if asks_certificate {
        return Outcome::Unknown;
    }
    let by_method = match (&*rule.method, form) {
        // The server calls the library's hook after other methods only.
        ("reject", _) => return Outcome::Rejected,
        ("trust", _) => Outcome::Passed,
        // A client may refuse such a count.
        ("md5" | "scram-sha-256", Some(SecretForm::Scram)) if is_odd => Outcome::Unknown,
        ("md5" | "password", Some(SecretForm::Md5 | SecretForm::Scram))
        | ("scram-sha-256", Some(SecretForm::Scram)) => Outcome::Passed,
        ("md5" | "password" | "scram-sha-256", _) => Outcome::WrongPassword,
        _ => super::method::by_map(facts, rule),
    };
    if facts.has_hook { Outcome::Unknown } else { by_method }
}

pub(super) fn row(facts: &LoginFacts, decided: &Decided<'_>) -> Row {
    if let Some(error) = &facts.hba.error {
        let detail = format!(
            "the server would not load pg_hba.conf ({error}), and keeps the rules that it loaded before"
        );
        return Step::Rule.unknown(Stage::Rule, detail);
    }
    let near = near(facts, decided);
    let note =
        if facts.hba.is_newer { "; pg_hba.conf was changed and may not be loaded yet" } else { "" };
    let row = match (&decided.possible[..], decided.outcome()) {
        ([], _) => Step::Rule
            .refused(
                Stage::Rule,
                Refusal::new("28000", no_entry(facts)),
                format!("no rule matches{near}{note}"),
            )
            .with_line(remedy(facts, None)),
        ([rule], outcome) if decided.decision.is_certain => {
            let detail = format!("{}: {}{near}{note}", rule.location, rule.text);
            if outcome == Outcome::Rejected {
                let refusal = Refusal::new("28000", rejected(facts));
                Step::Rule
                    .refused(Stage::Rule, refusal, detail)
                    .with_line(remedy(facts, Some(rule)))
            } else {
                Step::Rule.passed(detail)
            }
        }
        (rules, outcome) => {
            let detail = format!("{}{near}{note}", several(rules, decided.decision.is_certain));
            match outcome {
                Outcome::Unknown => Step::Rule.unknown(Stage::Rule, detail),
                Outcome::Rejected => {
                    Step::Rule.refused(Stage::Rule, Refusal::new("28000", rejected(facts)), detail)
                }
                _ => Step::Rule.passed(detail),
            }
        }
    };
    // With a change that is not loaded yet, nothing here is certain.
    if facts.hba.is_newer {
        return Row { ok: None, decides: Some(Stage::Rule), refusal: None, ..row };
    }
    row
}

/// Rules that cannot be told apart here.
fn several(rules: &[&HbaRule], is_certain: bool) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> =
        rules.iter().take(SHOWN).map(|rule| format!("{}: {}", rule.location, rule.text)).collect();
    let more = rules.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let or_none = if is_certain { "" } else { ", or none of them" };
    format!(
        "one of these decides{or_none}, because the server resolves names of hosts when a client connects: {}{more}",
        shown.join("; ")
    )
}

/// The rule that would decide but for one condition.
fn near(facts: &LoginFacts, decided: &Decided<'_>) -> String {
    let Some((index, condition)) = decided.decision.near else { return String::new() };
    let Some(rule) = facts.hba.rules.get(index) else { return String::new() };
    let request = &facts.request;
    let reason = match condition {
        Condition::Type if rule.connection == "hostgssenc" => {
            "the client uses no GSSAPI encryption".to_owned()
        }
        Condition::Type if request.uses_tls() => "the client uses TLS".to_owned(),
        Condition::Type => "the client uses no TLS".to_owned(),
        Condition::Address => format!("it is not for address {}", host(facts)),
        Condition::Database if request.replication => "it does not name replication".to_owned(),
        Condition::Database => format!("it is not for database \"{}\"", request.database.text),
        Condition::Role => format!("it is not for role \"{}\"", request.role.text),
    };
    format!("; {} ({}) misses only because {reason}", rule.location, rule.text)
}

fn host(facts: &LoginFacts) -> String {
    facts.request.client.map_or_else(|| "[local]".to_owned(), |client| client.to_string())
}

fn no_entry(facts: &LoginFacts) -> String {
    let what = if facts.request.replication { "replication connection from host" } else { "host" };
    format!("no pg_hba.conf entry for {what} {}", connection(facts))
}

fn rejected(facts: &LoginFacts) -> String {
    let what = if facts.request.replication { "replication connection" } else { "connection" };
    format!("pg_hba.conf rejects {what} for host {}", connection(facts))
}

/// The end of the server's messages.
fn connection(facts: &LoginFacts) -> String {
    let request = &facts.request;
    let encryption = if request.uses_tls() { "SSL encryption" } else { "no encryption" };
    let database = if request.replication {
        String::new()
    } else {
        format!(", database \"{}\"", request.database.text)
    };
    format!("\"{}\", user \"{}\"{database}, {encryption}", host(facts), request.role.text)
}

/// A line of pg_hba.conf that lets the login in.
fn remedy(facts: &LoginFacts, above: Option<&HbaRule>) -> String {
    let request = &facts.request;
    let word = |name: &str| AuthToken::of_name(name, facts.major >= 16).to_string();
    let database =
        if request.replication { "replication".to_owned() } else { word(&request.database.text) };
    let kind = match request.client {
        None => "local",
        Some(_) if request.tls => "hostssl",
        Some(_) => "host",
    };
    let address = request
        .client
        .map(|client| format!(" {client}/{}", if client.is_ipv4() { 32 } else { 128 }))
        .unwrap_or_default();
    let place = above.map(|rule| format!(" # above {}", rule.location)).unwrap_or_default();
    format!("{kind} {database} {}{address} scram-sha-256{place}", word(&request.role.text))
}
