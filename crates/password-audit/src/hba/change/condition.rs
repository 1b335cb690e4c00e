//! Conditions that only the server can test: what else must be true for a rule to decide.

use std::collections::HashMap;

use super::classes::Destinations;
use super::rules::{Addresses, Lists, Rule};
use crate::hba::AuthToken;
use crate::hba::names::Match;

/// Texts by number, each once, because thousands of rules can have the same ones.
#[derive(Default)]
pub(super) struct Texts {
    texts: Vec<String>,
    known: HashMap<String, u32>,
}

impl Texts {
    pub(super) fn number(&mut self, text: String) -> u32 {
        let next = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        *self.known.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            next
        })
    }

    fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }
}

/// A condition of a rule. Two with the same parts are met together. It is small, because a comparison has millions
/// of them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Condition {
    /// The patterns that the role must match, in [`Lists::texts`].
    role: Option<u32>,
    /// The patterns that the database must match, and the database.
    database: Option<(u32, u32)>,
    /// The addresses, in [`Lists::texts`].
    address: Option<u32>,
}

impl Condition {
    /// The condition of a rule whose lists match in this way; `None` for a rule that decides in any case.
    pub(super) fn new(
        rule: &Rule<'_>,
        (users, databases): (Match, Match),
        destination: usize,
        lists: &Lists<'_>,
    ) -> Option<Self> {
        let patterns = |matched: Match, numbers: &[u32], list: usize| {
            (matched == Match::Maybe).then(|| numbers[list])
        };
        let condition = Self {
            role: patterns(users, &lists.user_patterns, rule.users),
            database: patterns(databases, &lists.database_patterns, rule.databases)
                .map(|number| (number, u32::try_from(destination).unwrap_or(u32::MAX))),
            address: match rule.addresses {
                Addresses::Unknown(number) => Some(number),
                Addresses::All | Addresses::Network(..) => None,
            },
        };
        (condition != Self { role: None, database: None, address: None }).then_some(condition)
    }

    /// The condition in words.
    pub(super) fn text(self, lists: &Lists<'_>, destinations: &Destinations<'_>) -> String {
        let role = self.role.map(|number| format!("the role matches {}", lists.texts.text(number)));
        let database = self.database.map(|(number, destination)| {
            let database = destinations.condition(destination as usize);
            format!("{database} matches {}", lists.texts.text(number))
        });
        let address = self.address.map(|number| lists.texts.text(number).to_owned());
        [role, database, address].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

/// The patterns of a list.
pub(super) fn patterns(list: &[AuthToken]) -> String {
    let patterns = list.iter().map(|word| &*word.text).filter(|word| word.starts_with('/'));
    patterns.collect::<Vec<_>>().join(" or ")
}
