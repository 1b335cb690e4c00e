//! The normal form of a rule: what the server parses, so that blanks, comments, quotes without a meaning, the
//! order of lists and the file do not matter.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use sha2::Sha256;
use sha2::digest::Digest;

use super::{AuthToken, HbaRule};

/// A longer text is cut: findings are found by an index, whose entries have at most 2,700 bytes.
const MAX_LEN: usize = 1000;

impl HbaRule {
    /// The rule as a line of pg_hba.conf: type, databases, users, address with its mask, method, options.
    pub(super) fn normal_form(&self) -> String {
        let mut words = vec![self.connection.clone(), list(&self.databases), list(&self.users)];
        words.extend(self.network());
        words.push(self.method.clone());
        words.extend(self.options.iter().cloned().collect::<BTreeSet<_>>());
        shortened(words.join(" "))
    }

    /// The address and its mask as one word; as two where the mask has gaps.
    fn network(&self) -> Option<String> {
        let address = self.address.as_ref()?;
        let Some(mask) = &self.netmask else { return Some(address.to_string()) };
        let network = address.text.parse::<IpAddr>().ok().zip(mask.parse::<IpAddr>().ok());
        let network = network.and_then(|(address, mask)| IpNet::with_netmask(address, mask).ok());
        // The server compares only the bits of the mask.
        Some(
            network
                .map_or_else(|| format!("{address} {mask}"), |network| network.trunc().to_string()),
        )
    }
}

/// Each word once, in order. The words of a rule are alternatives.
fn list(tokens: &[AuthToken]) -> String {
    let words: BTreeSet<String> = tokens.iter().map(AuthToken::to_string).collect();
    words.into_iter().collect::<Vec<_>>().join(",")
}

/// The text, or its beginning and a digest of the whole.
fn shortened(text: String) -> String {
    if text.len() <= MAX_LEN {
        return text;
    }
    let digest = hex::encode(&Sha256::digest(&text)[..8]);
    let end = (0..=MAX_LEN).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}... (digest {digest})", &text[..end])
}
