//! Which rules of pg_hba.conf decide about which role.
//!
//! The first rule that fits a connection decides (`check_hba` in PostgreSQL's
//! `src/backend/libpq/hba.c`). So a rule meets a role where the two fit and some address is left that
//! no earlier rule has taken. What can't be told from here (host names, the server's own addresses,
//! regular expressions) may fit, and takes no address from later rules.

mod address;
mod names;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Server, Subject};
use address::{Addresses, Left};
use names::Fit;

/// A rule of pg_hba.conf.
#[derive(Debug, Default)]
pub struct HbaRule {
    /// `file:line`.
    pub place: String,
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
    /// Of an address.
    pub netmask: Option<String>,
    /// Whether the client has to show a certificate beside.
    pub certificate: bool,
    /// Filled in by [`join`].
    pub meets: Meets,
}

/// The roles that a rule decides about.
#[derive(Debug, Default, Eq, PartialEq)]
pub enum Meets {
    /// Every role that may log in.
    Everybody,
    /// These, by name.
    Roles(Vec<String>),
    /// Nobody knows.
    #[default]
    Unknown,
}

/// Where connections come in.
#[derive(Debug, Default)]
pub struct Doors {
    /// Databases that allow connections.
    pub databases: Vec<Database>,
    /// Member and group, directly.
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
    /// Who has CONNECT; `None` where everybody has it.
    pub open_to: Option<HashSet<String>>,
}

/// A rule that a role meets.
#[derive(Clone, Debug)]
pub struct Met {
    /// `file:line`.
    pub place: Arc<str>,
    /// The authentication method.
    pub method: Arc<str>,
    /// Whether what the rule asks for is only the password: no certificate, no Kerberos encryption.
    pub password_alone: bool,
}

/// Fills in which rules each role meets, and which roles each rule.
pub fn join(server: &mut Server, subjects: &mut [Subject], doors: &Doors) {
    let rules: Vec<Rule> = server.hba.iter().map(|rule| Rule::new(rule, doors)).collect();
    let groups = names::groups(&doors.memberships);
    let mut known: HashMap<Vec<Vec<Fit>>, Arc<[usize]>> = HashMap::new();
    let mut roles_of: Vec<Vec<String>> = vec![Vec::new(); rules.len()];
    let mut logins = 0;

    for subject in subjects {
        let name = subject.name.clone();
        let Some(role) = subject.role_mut().filter(|role| role.can_login) else { continue };
        logins += 1;
        let who =
            names::Who { name: &name, groups: groups.get(&*name), replication: role.replication };
        let mut fits: Vec<Vec<Fit>> = names::targets(&who, doors)
            .map(|target| server.hba.iter().map(|rule| who.fit(rule, &target)).collect())
            .collect();
        fits.sort_unstable();
        fits.dedup();
        let met = known.entry(fits).or_insert_with_key(|fits| met(&rules, fits)).clone();
        for &index in &*met {
            roles_of[index].push(name.clone());
        }
        role.meets = Some(met.iter().map(|&index| rules[index].met.clone()).collect());
    }
    for (rule, roles) in server.hba.iter_mut().zip(roles_of) {
        rule.meets = if roles.len() == logins { Meets::Everybody } else { Meets::Roles(roles) };
    }
}

/// A rule, ready to be asked.
struct Rule {
    addresses: Addresses,
    met: Met,
}

impl Rule {
    fn new(rule: &HbaRule, doors: &Doors) -> Self {
        let met = Met {
            place: (*rule.place).into(),
            method: (*rule.method).into(),
            password_alone: !rule.certificate && rule.connection != "hostgssenc",
        };
        Self { addresses: Addresses::of(rule, doors), met }
    }
}

/// The rules that decide somewhere, for connections to any of the targets.
fn met(rules: &[Rule], targets: &[Vec<Fit>]) -> Arc<[usize]> {
    let mut found = vec![false; rules.len()];
    for fits in targets {
        let mut left = Left::default();
        for ((rule, fit), found) in rules.iter().zip(fits).zip(&mut found) {
            if *fit == Fit::No {
                continue;
            }
            *found |= left.meets(&rule.addresses);
            if *fit == Fit::Yes {
                left.take(&rule.addresses);
            }
        }
    }
    (0..rules.len()).filter(|&index| found[index]).collect()
}
