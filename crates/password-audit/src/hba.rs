//! Matches the rules of pg_hba.conf with the roles that they decide about.
//!
//! The first rule that fits a connection decides (`check_hba` in PostgreSQL's
//! `src/backend/libpq/hba.c`). So a rule meets a role if it fits the role and an address is left
//! that no earlier rule has taken. Some parts of a rule cannot be evaluated here: host names, the
//! server's own addresses, regular expressions. Such a rule may fit, and it takes no address from
//! later rules.

mod address;
mod names;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{ServerConfig, Subject};
use address::{Addresses, Unmatched};
use names::Match;

/// A rule of pg_hba.conf.
#[derive(Debug, Default)]
pub struct HbaRule {
    /// `file:line`.
    pub location: String,
    /// The rule in words: type, databases, users, address.
    pub reach: String,
    /// The authentication method.
    pub method: String,
    /// `local`, `host`, `hostssl`, `hostnossl`, `hostgssenc` or `hostnogssenc`.
    pub connection: String,
    /// Names and keywords as the server lists them.
    pub databases: Vec<String>,
    /// Names, `all`, and groups with a plus.
    pub users: Vec<String>,
    /// `all`, `samehost`, `samenet`, an address or a host's name.
    pub address: Option<String>,
    /// The netmask of the address.
    pub netmask: Option<String>,
    /// Whether the client must show a certificate in addition to what the method asks for.
    pub certificate: bool,
    /// Filled in by [`join`].
    pub roles: Matches,
}

/// The roles that a rule decides about.
#[derive(Debug, Default, Eq, PartialEq)]
pub enum Matches {
    /// Every role that may log in.
    EveryLogin,
    /// These, by name.
    Roles(Vec<String>),
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
    /// Whether a password is enough: the rule needs no certificate and no Kerberos encryption.
    pub password_alone: bool,
}

/// Fills in which rules each role meets, and which roles each rule.
pub fn join(server: &mut ServerConfig, subjects: &mut [Subject], listen: &ListenConfig) {
    let rules: Vec<CompiledHbaRule> =
        server.hba.iter().map(|rule| CompiledHbaRule::new(rule, listen)).collect();
    let groups = names::groups(&listen.memberships);
    let mut known: HashMap<Vec<Vec<Match>>, Arc<[usize]>> = HashMap::new();
    let mut roles_of: Vec<Vec<String>> = vec![Vec::new(); rules.len()];
    let mut logins = 0;

    for subject in subjects {
        let name = subject.name.clone();
        let Some(role) = subject.role_mut().filter(|role| role.can_login) else { continue };
        logins += 1;
        let login =
            names::Login { name: &name, groups: groups.get(&*name), replication: role.replication };
        let mut fits: Vec<Vec<Match>> = names::destinations(&login, listen)
            .map(|destination| {
                server.hba.iter().map(|rule| login.matches(rule, &destination)).collect()
            })
            .collect();
        fits.sort_unstable();
        fits.dedup();
        let met = known.entry(fits).or_insert_with_key(|fits| met(&rules, fits)).clone();
        for &index in &*met {
            roles_of[index].push(name.clone());
        }
        role.hba_rules = Some(met.iter().map(|&index| rules[index].met.clone()).collect());
    }
    for (rule, roles) in server.hba.iter_mut().zip(roles_of) {
        rule.roles =
            if roles.len() == logins { Matches::EveryLogin } else { Matches::Roles(roles) };
    }
}

/// A rule in the form that [`met`] needs.
struct CompiledHbaRule {
    addresses: Addresses,
    met: MatchedRule,
}

impl CompiledHbaRule {
    fn new(rule: &HbaRule, listen: &ListenConfig) -> Self {
        let met = MatchedRule {
            location: (*rule.location).into(),
            method: (*rule.method).into(),
            password_alone: !rule.certificate && rule.connection != "hostgssenc",
        };
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
