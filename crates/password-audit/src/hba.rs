//! Matches the rules of pg_hba.conf with the roles that they decide about.
//!
//! The first rule that fits a connection decides (`check_hba` in PostgreSQL's
//! `src/backend/libpq/hba.c`). So a rule meets a role if it fits the role and an address is left
//! that no earlier rule has taken. Some parts of a rule cannot be evaluated here: host names, the
//! server's own addresses, regular expressions, keywords of a file whose quotes are not known. Such a rule may fit, and it takes no address from
//! later rules.

mod address;
mod change;
mod connection;
mod names;
mod normal;
mod text;
mod token;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{ServerConfig, Subject};
use address::{Addresses, Unmatched};
pub use change::{Change, Credential, HbaChange, LoginRole, TooManyChanges, compare};
pub use connection::{Condition, Connection, Decision, Interface};
use names::Match;
pub use text::{first_include, has_secret, redacted, shown_error};
pub use token::{AuthToken, Quoting, RawLine, RawToken, tokenize};

/// A rule of pg_hba.conf.
#[derive(Debug, Default)]
pub struct HbaRule {
    /// `file:line`.
    pub location: String,
    /// The rule as findings name it, which [`name_rules`] fills in.
    pub text: String,
    /// The authentication method.
    pub method: String,
    /// `local`, `host`, `hostssl`, `hostnossl`, `hostgssenc` or `hostnogssenc`.
    pub connection: String,
    /// Names and keywords.
    pub databases: Vec<AuthToken>,
    /// Names, `all`, and groups with a plus.
    pub users: Vec<AuthToken>,
    /// `all`, `samehost`, `samenet`, an address or a host's name.
    pub address: Option<AuthToken>,
    /// The netmask of the address.
    pub netmask: Option<String>,
    /// `name=value`, without the values of passwords.
    pub options: Vec<String>,
    /// Filled in by [`join`].
    pub roles: Matches,
}

/// Gives each rule the text that findings name: the rule in its normal form, and a number for the second
/// and later ones of the same form.
pub fn name_rules(rules: &mut [HbaRule]) {
    let mut known: HashMap<String, usize> = HashMap::new();
    for rule in rules {
        let text = rule.normal_form();
        let rank = known.entry(text.clone()).or_default();
        *rank += 1;
        rule.text = if *rank > 1 { format!("{text} #{rank}") } else { text };
    }
}

/// The file on disk. The server reads it when it starts and when it is told to reload.
#[derive(Debug, Default)]
pub struct HbaFile {
    /// Its name without the folder.
    pub name: String,
    /// Why the server would not load it, with the line; `None` if it would.
    pub error: Option<String>,
    /// Whether it was changed after the server last loaded its configuration.
    pub is_newer: bool,
}

/// The roles that a rule decides about.
#[derive(Debug, Default, Eq, PartialEq)]
pub enum Matches {
    /// Every role that may log in.
    EveryLogin,
    /// These, by name.
    Roles(Vec<String>),
    /// These, by name, and all of them are superusers.
    Superusers(Vec<String>),
    /// Unknown, because [`join`] did not run.
    #[default]
    Unknown,
}

/// The connections that the server accepts.
#[derive(Debug, Default)]
pub struct ListenConfig {
    /// Databases that allow connections.
    pub databases: Vec<Database>,
    /// Pairs of a member and a group, direct memberships only.
    pub memberships: Vec<(String, String)>,
    /// Whether a name that begins with a slash is a regular expression: since PostgreSQL 16.
    pub patterns: bool,
    /// Whether the server listens on a Unix socket.
    pub socket: bool,
    /// Whether it listens on TCP.
    pub tcp: bool,
    /// Whether it offers TLS.
    pub tls: bool,
}

/// A database that allows connections.
#[derive(Debug)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Roles with CONNECT; `None` if every role has it.
    pub open_to: Option<HashSet<String>>,
}

/// A rule that a role meets.
#[derive(Clone, Debug)]
pub struct MatchedRule {
    /// `file:line`.
    pub location: Arc<str>,
    /// The authentication method.
    pub method: Arc<str>,
}

/// Whether a method asks for the stored password, or for nothing. The others authenticate by another
/// system: `bsd`, `cert`, `gss`, `ident`, `ldap`, `oauth`, `pam`, `peer`, `radius`, `sspi`.
pub(super) fn uses_stored_password(method: &str) -> bool {
    matches!(method, "md5" | "password" | "reject" | "scram-sha-256" | "trust")
}

/// Fills in which rules each role meets, and which roles each rule.
pub fn join(server: &mut ServerConfig, subjects: &mut [Subject], listen: &ListenConfig) {
    let rules: Vec<CompiledHbaRule> =
        server.hba.iter().map(|rule| CompiledHbaRule::new(rule, listen)).collect();
    let groups = names::groups(&listen.memberships);
    let mut known: HashMap<Vec<Vec<Match>>, Arc<[usize]>> = HashMap::new();
    let mut roles_of: Vec<Vec<String>> = vec![Vec::new(); rules.len()];
    let (mut logins, mut only_superusers) = (0, vec![true; rules.len()]);

    for subject in subjects {
        let name = subject.name.clone();
        let Some(role) = subject.role_mut().filter(|role| role.can_login) else { continue };
        logins += 1;
        let login = names::Login {
            name: &name,
            groups: groups.get(&*name),
            is_unknown: false,
            replication: role.replication,
        };
        let mut fits: Vec<Vec<Match>> = names::destinations(&login, listen)
            .map(|destination| {
                server
                    .hba
                    .iter()
                    .map(|rule| login.matches(rule, &destination, listen.patterns))
                    .collect()
            })
            .collect();
        fits.sort_unstable();
        fits.dedup();
        let met = known.entry(fits).or_insert_with_key(|fits| met(&rules, fits)).clone();
        for &index in &*met {
            roles_of[index].push(name.clone());
            only_superusers[index] &= role.superuser;
        }
        role.hba_rules = Some(met.iter().map(|&index| rules[index].met.clone()).collect());
    }
    for ((rule, roles), superusers) in server.hba.iter_mut().zip(roles_of).zip(only_superusers) {
        rule.roles = match roles.len() {
            1.. if superusers => Matches::Superusers(roles),
            len if len == logins => Matches::EveryLogin,
            _ => Matches::Roles(roles),
        };
    }
}

/// A rule in the form that [`met`] needs.
struct CompiledHbaRule {
    addresses: Addresses,
    met: MatchedRule,
}

impl CompiledHbaRule {
    fn new(rule: &HbaRule, listen: &ListenConfig) -> Self {
        let met = MatchedRule { location: (*rule.location).into(), method: (*rule.method).into() };
        Self { addresses: Addresses::new(rule, listen), met }
    }
}

/// The rules that decide about at least one connection to one of the targets.
fn met(rules: &[CompiledHbaRule], targets: &[Vec<Match>]) -> Arc<[usize]> {
    let mut found = vec![false; rules.len()];
    for fits in targets {
        let mut unmatched = Unmatched::default();
        for ((rule, fit), found) in rules.iter().zip(fits).zip(&mut found) {
            if *fit == Match::No {
                continue;
            }
            *found |= unmatched.admits(&rule.addresses);
            if *fit == Match::Yes {
                unmatched.remove(&rule.addresses);
            }
        }
    }
    (0..rules.len()).filter(|&index| found[index]).collect()
}
