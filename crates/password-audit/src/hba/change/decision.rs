//! The decision of the rules about one connection, as far as the rules tell it.

use std::collections::{BTreeSet, HashMap};

use super::rules::Rule;
use super::{Change, Credential};

/// A rule that decides, and the condition that only the server can test; `None` for one that decides in any
/// case. No rule at the end means that none fits.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Decision {
    /// Rules that decide if their condition is met, in order.
    pub(super) conditional: Vec<(usize, String)>,
    /// The rule that decides otherwise.
    pub(super) rule: Option<usize>,
}

impl Decision {
    /// The rules in order, and their conditions.
    fn steps(&self) -> impl Iterator<Item = (Option<&str>, Option<usize>)> {
        let conditional =
            self.conditional.iter().map(|(rule, condition)| (Some(&**condition), Some(*rule)));
        conditional.chain([(None, self.rule)])
    }

    /// The place of each condition, of which each comes once.
    fn places(&self) -> HashMap<&str, usize> {
        let conditions = self.conditional.iter().enumerate();
        conditions.map(|(place, (_, condition))| (&**condition, place)).collect()
    }

    /// The decision in words.
    pub(super) fn text(&self, rules: &[Rule<'_>], credential: Credential) -> String {
        let words = |(condition, rule): (Option<&str>, Option<usize>)| {
            let outcome = match rule.map(|rule| rules[rule].rule) {
                None => "no rule".to_owned(),
                Some(rule) => {
                    let reason = credential.refusal(&rule.method).unwrap_or_default();
                    let options: Vec<_> =
                        [&rule.method].into_iter().chain(&rule.options).cloned().collect();
                    format!("{} ({}){reason}", options.join(" "), rule.location)
                }
            };
            match condition {
                Some(condition) => format!("{outcome} if {condition}"),
                None if self.conditional.is_empty() => outcome,
                None => format!("otherwise {outcome}"),
            }
        };
        self.steps().map(words).collect::<Vec<_>>().join("; ")
    }
}

/// The changes from one decision to the other that are possible.
///
/// A condition is met in both or in neither. So two rules can decide together unless the condition of one of them
/// comes earlier in the other decision, where it would have decided.
pub(super) fn changes(
    before: (&Decision, &[Rule<'_>]),
    after: (&Decision, &[Rule<'_>]),
    credential: Credential,
    pause: &mut dyn FnMut(),
) -> BTreeSet<Change> {
    let [places_before, places_after] = [before.0, after.0].map(Decision::places);
    let place = |places: &HashMap<&str, usize>, condition: Option<&str>| {
        condition.and_then(|condition| places.get(condition).copied())
    };
    let mut found = BTreeSet::new();
    for (index, (condition, old)) in before.0.steps().enumerate() {
        pause();
        let after_place = place(&places_after, condition);
        for (other_index, (other_condition, new)) in after.0.steps().enumerate() {
            let is_excluded = after_place.is_some_and(|place| place < other_index)
                || place(&places_before, other_condition).is_some_and(|place| place < index);
            if !is_excluded {
                let old = old.map(|rule| &before.1[rule]);
                let new = new.map(|rule| &after.1[rule]);
                found.extend(change(old, new, credential));
            }
        }
    }
    found
}

fn change(
    old: Option<&Rule<'_>>,
    new: Option<&Rule<'_>>,
    credential: Credential,
) -> Option<Change> {
    let admits = |rule: Option<&Rule<'_>>| {
        rule.is_some_and(|rule| credential.refusal(&rule.rule.method).is_none())
    };
    match (admits(old), admits(new)) {
        (false, false) => None,
        (true, false) => Some(Change::LockedOut),
        (false, true) => Some(Change::LetIn),
        (true, true) => {
            let (old, new) = (old?.rule, new?.rule);
            let options = |options: &[String]| options.iter().cloned().collect::<BTreeSet<_>>();
            let is_same =
                old.method == new.method && options(&old.options) == options(&new.options);
            (!is_same).then_some(Change::Method)
        }
    }
}
