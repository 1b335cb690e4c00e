//! Sets of connections, by kind and client address.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{HbaRule, ListenConfig, Quoting};

/// Kinds of connections; a rule's type says which it is for.
const KINDS: usize = 4;
const LOCAL: usize = 0;
const PLAIN: usize = 1;
const TLS: usize = 2;
/// Encrypted by Kerberos.
const GSS: usize = 3;

/// The connections that a rule is for.
pub(super) struct Addresses {
    kinds: Vec<usize>,
    /// `None` if unknown: a host name, `samehost` or `samenet`.
    networks: Option<Vec<IpNet>>,
}

impl Addresses {
    pub(super) fn new(rule: &HbaRule, listen: &ListenConfig) -> Self {
        let kinds: &[usize] = match &*rule.connection {
            "local" => &[LOCAL],
            "host" => &[PLAIN, TLS, GSS],
            "hostgssenc" => &[GSS],
            "hostnogssenc" => &[PLAIN, TLS],
            "hostnossl" => &[PLAIN, GSS],
            "hostssl" => &[TLS],
            _ => &[],
        };
        let offered = |kind: &usize| match *kind {
            LOCAL => listen.socket,
            TLS => listen.tcp && listen.tls,
            _ => listen.tcp,
        };
        Self { kinds: kinds.iter().copied().filter(offered).collect(), networks: networks(rule) }
    }
}

fn networks(rule: &HbaRule) -> Option<Vec<IpNet>> {
    let address = rule.address.as_ref();
    let is_keyword = address.is_some_and(|address| address.quoting == Quoting::Plain);
    match (address.map(|address| &*address.text), rule.netmask.as_deref()) {
        // A socket has no addresses, so that two networks with every address represent it.
        (None, _) => Some(everything()),
        (Some("all"), _) if is_keyword => Some(everything()),
        (Some(address), Some(netmask)) => {
            let (address, netmask) =
                (address.parse::<IpAddr>().ok()?, netmask.parse::<IpAddr>().ok()?);
            Some(vec![IpNet::with_netmask(address, netmask).ok()?.trunc()])
        }
        // samehost, samenet, a host's name
        (Some(_), None) => None,
    }
}

fn everything() -> Vec<IpNet> {
    ["0.0.0.0/0", "::/0"].iter().filter_map(|all| all.parse().ok()).collect()
}

/// The connections that no rule has decided about so far.
#[derive(Default)]
pub(super) struct Unmatched {
    /// Merged, so that a network which is taken as a whole lies in one of them.
    taken: [Vec<IpNet>; KINDS],
}

impl Unmatched {
    /// Whether one of these connections is left, or may be.
    pub(super) fn admits(&self, addresses: &Addresses) -> bool {
        let everything = everything();
        let networks = addresses.networks.as_ref().unwrap_or(&everything);
        addresses.kinds.iter().any(|&kind| {
            networks.iter().any(|network| !self.taken[kind].iter().any(|t| t.contains(network)))
        })
    }

    pub(super) fn remove(&mut self, addresses: &Addresses) {
        let Some(networks) = &addresses.networks else { return };
        for &kind in &addresses.kinds {
            self.taken[kind].extend(networks);
            self.taken[kind] = IpNet::aggregate(&self.taken[kind]);
        }
    }
}
