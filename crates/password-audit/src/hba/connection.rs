//! The rule that decides about one connection: `check_hba` in PostgreSQL's `src/backend/libpq/hba.c`.

use std::collections::HashSet;
use std::net::IpAddr;

use super::HbaRule;
use super::names::{Destination, Login, Match, yes};

/// A connection as the server sees it before authentication, without encryption by Kerberos.
#[derive(Debug)]
pub struct Connection<'a> {
    /// The client's address; `None` on a Unix-domain socket.
    pub client: Option<IpAddr>,
    /// Whether the client uses TLS.
    pub tls: bool,
    /// The name that the client gives.
    pub role: &'a str,
    /// The groups of the role, direct and indirect ones; `None` if there is no such role.
    pub groups: Option<HashSet<&'a str>>,
    /// The database; `None` for a replication connection.
    pub database: Option<&'a str>,
    /// The server's network interfaces, for `samehost` and `samenet`.
    pub interfaces: &'a [Interface],
    /// Whether a name that begins with a slash is a regular expression: since PostgreSQL 16.
    pub patterns: bool,
}

/// A network interface of the server.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// Its address.
    pub address: IpAddr,
    /// Its netmask.
    pub netmask: IpAddr,
}

/// A condition that a connection must meet for a rule to decide about it, in the server's order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// The type of the rule: `local`, `host`, `hostssl` and so on.
    Type,
    /// The client's address.
    Address,
    /// The database.
    Database,
    /// The role.
    Role,
}

/// The rules that may decide about a connection.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Decision {
    /// Their indexes, in order. At most the last one is certain.
    pub possible: Vec<usize>,
    /// Whether the last of them decides unless an earlier one does. Otherwise it may be that none decides,
    /// and with no possible rule it is certain that none does.
    pub is_certain: bool,
    /// The last rule before the first possible one that meets all conditions but one.
    pub near: Option<(usize, Condition)>,
}

impl Connection<'_> {
    /// Finds the rule that decides.
    pub fn decide(&self, rules: &[HbaRule]) -> Decision {
        let mut decision = Decision::default();
        for (index, rule) in rules.iter().enumerate() {
            let judged = self.judge(rule);
            let missed: Vec<_> = judged.iter().filter(|(_, met)| *met == Match::No).collect();
            match missed[..] {
                [] => decision.possible.push(index),
                // A rule that names another role is near only if no better one is there, and one for sockets is
                // never near a TCP connection.
                [(condition, _)] if decision.possible.is_empty() => {
                    let is_better = match condition {
                        Condition::Type => (rule.connection == "local") == self.client.is_none(),
                        Condition::Role => {
                            decision.near.is_none_or(|(_, known)| known == Condition::Role)
                        }
                        Condition::Address | Condition::Database => true,
                    };
                    if is_better {
                        decision.near = Some((index, *condition));
                    }
                }
                _ => {}
            }
            if judged.iter().all(|(_, met)| *met == Match::Yes) {
                decision.is_certain = true;
                break;
            }
        }
        decision
    }

    fn judge(&self, rule: &HbaRule) -> [(Condition, Match); 4] {
        let login = Login {
            name: self.role,
            groups: self.groups.as_ref(),
            is_unknown: self.groups.is_none(),
            replication: self.database.is_none(),
        };
        let destination = self.database.map_or(Destination::Replication, Destination::Database);
        [
            (Condition::Type, yes(self.meets_type(rule))),
            (Condition::Address, self.meets_address(rule)),
            (
                Condition::Database,
                login.matches_databases(&rule.databases, &destination, self.patterns),
            ),
            (Condition::Role, login.matches_users(&rule.users, self.patterns)),
        ]
    }

    fn meets_type(&self, rule: &HbaRule) -> bool {
        match (&*rule.connection, self.client) {
            ("local", client) => client.is_none(),
            ("host" | "hostnogssenc", client) => client.is_some(),
            ("hostssl", client) => client.is_some() && self.tls,
            ("hostnossl", client) => client.is_some() && !self.tls,
            _ => false,
        }
    }

    fn meets_address(&self, rule: &HbaRule) -> Match {
        let (Some(client), Some(address)) = (self.client, &rule.address) else {
            // The type of the rule tells these apart.
            return Match::Yes;
        };
        if let Some(netmask) = &rule.netmask {
            let network = address.text.parse().ok().zip(netmask.parse().ok());
            return network
                .map_or(Match::Maybe, |(address, netmask)| yes(covers(address, netmask, client)));
        }
        let any = |meets: &dyn Fn(&Interface) -> bool| yes(self.interfaces.iter().any(meets));
        address.judged(|quoted| match &*address.text {
            "all" if !quoted => Match::Yes,
            "samehost" if !quoted => any(&|interface| interface.address == client),
            "samenet" if !quoted => {
                any(&|interface| covers(interface.address, interface.netmask, client))
            }
            // The name of a host: only the server's own resolver knows what it stands for.
            _ => Match::Maybe,
        })
    }
}

/// Whether a network has an address: `pg_range_sockaddr` in PostgreSQL's `src/backend/libpq/ifaddr.c`. The mask may
/// have gaps.
fn covers(network: IpAddr, netmask: IpAddr, client: IpAddr) -> bool {
    match (network, netmask, client) {
        (IpAddr::V4(network), IpAddr::V4(mask), IpAddr::V4(client)) => {
            (network.to_bits() ^ client.to_bits()) & mask.to_bits() == 0
        }
        (IpAddr::V6(network), IpAddr::V6(mask), IpAddr::V6(client)) => {
            (network.to_bits() ^ client.to_bits()) & mask.to_bits() == 0
        }
        _ => false,
    }
}
