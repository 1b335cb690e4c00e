//! The rules of both files in the form that they are compared in.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::condition::{Texts, patterns};
use super::ranges::{Family, Range};
use crate::hba::{AuthToken, HbaRule, ListenConfig, Quoting};

/// Kinds of connections, as bits.
pub(super) const LOCAL: u8 = 1;
pub(super) const PLAIN: u8 = 2;
pub(super) const TLS: u8 = 4;
/// Encrypted by Kerberos.
pub(super) const GSS: u8 = 8;

/// The addresses that a rule is for.
pub(super) enum Addresses {
    /// Each address, of both families. A rule for sockets has them too.
    All,
    Network(Family, Range),
    /// Those that satisfy a condition, which only the server can test: a number in [`Lists::texts`].
    Unknown(u32),
}

/// A rule of one of the files.
pub(super) struct Rule<'a> {
    pub(super) rule: &'a HbaRule,
    pub(super) kinds: u8,
    pub(super) addresses: Addresses,
    /// The list of users in [`Lists`].
    pub(super) users: usize,
    /// The list of databases in [`Lists`].
    pub(super) databases: usize,
    /// The same number for rules that differ only in their place.
    pub(super) content: u32,
    /// The same number for rules with the same method and options.
    pub(super) outcome: u32,
}

/// Lists of words, each once, because many rules have the same ones.
#[derive(Default)]
pub(super) struct Lists<'a> {
    pub(super) users: Vec<&'a [AuthToken]>,
    pub(super) databases: Vec<&'a [AuthToken]>,
    /// The patterns of each list of users, in `texts`.
    pub(super) user_patterns: Vec<u32>,
    /// The patterns of each list of databases, in `texts`.
    pub(super) database_patterns: Vec<u32>,
    /// Parts of conditions.
    pub(super) texts: Texts,
    known: HashMap<(bool, String), usize>,
    contents: Texts,
}

/// The kinds of connections that the server offers.
pub(super) fn offered(listen: &ListenConfig) -> u8 {
    let tls = if listen.tls { TLS } else { 0 };
    let tcp = if listen.tcp { PLAIN | GSS | tls } else { 0 };
    tcp | if listen.socket { LOCAL } else { 0 }
}

impl<'a> Lists<'a> {
    pub(super) fn rules(&mut self, rules: &'a [HbaRule], offered: u8) -> Vec<Rule<'a>> {
        rules
            .iter()
            .map(|rule| {
                let mut options: Vec<&String> = rule.options.iter().collect();
                options.sort_unstable();
                options.dedup();
                let addresses = format!("{:?} {:?}", rule.address, rule.netmask);
                let outcome = format!("{} {options:?}", rule.method);
                let content = format!("{} {addresses} {outcome}", rule.connection);
                Rule {
                    rule,
                    kinds: kinds(&rule.connection) & offered,
                    addresses: Addresses::new(rule, &mut self.texts),
                    users: self.list(true, &rule.users),
                    databases: self.list(false, &rule.databases),
                    content: self.contents.number(content),
                    outcome: self.contents.number(outcome),
                }
            })
            .collect()
    }

    fn list(&mut self, of_users: bool, list: &'a [AuthToken]) -> usize {
        let (lists, numbers) = match of_users {
            true => (&mut self.users, &mut self.user_patterns),
            false => (&mut self.databases, &mut self.database_patterns),
        };
        *self.known.entry((of_users, format!("{list:?}"))).or_insert_with(|| {
            lists.push(list);
            numbers.push(self.texts.number(patterns(list)));
            lists.len() - 1
        })
    }
}

fn kinds(connection: &str) -> u8 {
    match connection {
        "local" => LOCAL,
        "host" => PLAIN | TLS | GSS,
        "hostgssenc" => GSS,
        "hostnogssenc" => PLAIN | TLS,
        "hostnossl" => PLAIN | GSS,
        "hostssl" => TLS,
        _ => 0,
    }
}

impl Addresses {
    fn new(rule: &HbaRule, texts: &mut Texts) -> Self {
        let Some(address) = &rule.address else { return Self::All };
        let is_keyword = address.quoting == Quoting::Plain;
        match (&*address.text, rule.netmask.as_deref()) {
            ("all", None) if is_keyword => Self::All,
            (keyword @ ("samehost" | "samenet"), None) if is_keyword => {
                Self::Unknown(texts.number(format!("the client's address is in {keyword}")))
            }
            (host, None) => {
                Self::Unknown(texts.number(format!("the client's host name is {host}")))
            }
            (address, Some(mask)) => Self::network(address, mask).unwrap_or_else(|| {
                Self::Unknown(texts.number(format!("the client's address is in {address} {mask}")))
            }),
        }
    }

    /// `None` for a mask with gaps.
    fn network(address: &str, mask: &str) -> Option<Self> {
        let (address, mask) = (address.parse().ok()?, mask.parse().ok()?);
        let network = IpNet::with_netmask(address, mask).ok()?.trunc();
        let value = |address| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let last = network.broadcast();
        let family = if network.addr().is_ipv4() { Family::V4 } else { Family::V6 };
        Some(Self::Network(family, (value(network.addr()), value(last))))
    }

    /// The part of them in a family, if they are known.
    pub(super) fn range(&self, family: Family) -> Option<Range> {
        match self {
            Self::All | Self::Unknown(_) => Some((0, family.last())),
            Self::Network(of, range) => (*of == family).then_some(*range),
        }
    }
}
