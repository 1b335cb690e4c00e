//! The decision of the rules about one connection, as far as the rules tell it.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::classes::Destinations;
use super::condition::Condition;
use super::rules::{Lists, Rule};
use super::{Budget, Change, Credential, TooManyChanges};

/// A rule that decides if its condition is met.
pub(super) type Conditional = (u32, Condition);

/// Lists of rules that decide under conditions, each once.
#[derive(Default)]
pub(super) struct Conditionals {
    lists: Vec<Rc<[Conditional]>>,
    known: HashMap<Rc<[Conditional]>, u32>,
}

impl Conditionals {
    /// The number of a list.
    pub(super) fn number(
        &mut self,
        list: Vec<Conditional>,
        budget: &mut Budget,
    ) -> Result<u32, TooManyChanges> {
        if let Some(number) = self.known.get(&*list) {
            return Ok(*number);
        }
        budget.spend(size_of_val(&*list))?;
        let number = u32::try_from(self.lists.len()).map_err(|_| TooManyChanges)?;
        let list: Rc<[Conditional]> = list.into();
        self.lists.push(Rc::clone(&list));
        self.known.insert(list, number);
        Ok(number)
    }
}

/// The rule that decides.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Decision {
    /// Rules that decide if their condition is met, in order: a number in [`Conditionals`].
    pub(super) conditional: u32,
    /// The rule that decides otherwise; `None` if none fits.
    pub(super) rule: Option<u32>,
}

/// The rules of a file, and a decision of theirs.
#[derive(Clone, Copy)]
pub(super) struct Decided<'a> {
    pub(super) rules: &'a [Rule<'a>],
    pub(super) decision: Decision,
    pub(super) conditionals: &'a Conditionals,
}

impl Decided<'_> {
    /// The rules in order, and their conditions.
    fn steps(&self) -> impl Iterator<Item = (Option<Condition>, Option<&Rule<'_>>)> {
        let conditional = &*self.conditionals.lists[self.decision.conditional as usize];
        let conditional =
            conditional.iter().map(|(rule, condition)| (Some(*condition), Some(*rule)));
        let rule = |number: u32| &self.rules[number as usize];
        conditional
            .chain([(None, self.decision.rule)])
            .map(move |(condition, number)| (condition, number.map(rule)))
    }

    /// The place of each condition, of which each comes once.
    fn places(&self) -> HashMap<Condition, usize> {
        let steps = self.steps().enumerate();
        steps.filter_map(|(place, (condition, _))| Some((condition?, place))).collect()
    }

    /// The decision in words.
    pub(super) fn text(
        &self,
        credential: Credential,
        (lists, destinations): (&Lists<'_>, &Destinations<'_>),
        budget: &mut Budget,
    ) -> Result<String, TooManyChanges> {
        let mut text = String::new();
        for (condition, rule) in self.steps() {
            let outcome = match rule.map(|rule| rule.rule) {
                None => "no rule".to_owned(),
                Some(rule) => {
                    let reason = credential.refusal(&rule.method).unwrap_or_default();
                    let options: Vec<_> = [&*rule.method]
                        .into_iter()
                        .chain(rule.options.iter().map(|o| &**o))
                        .collect();
                    format!("{} ({}){reason}", options.join(" "), rule.location)
                }
            };
            let step = match condition {
                Some(condition) => {
                    format!("{outcome} if {}; ", condition.text(lists, destinations))
                }
                None if text.is_empty() => outcome,
                None => format!("otherwise {outcome}"),
            };
            budget.spend(step.len())?;
            text.push_str(&step);
        }
        Ok(text)
    }
}

/// The changes from one decision to the other that are possible.
///
/// A condition is met in both or in neither. So two rules can decide together unless the condition of one of them
/// comes earlier in the other decision, where it would have decided.
pub(super) fn changes(
    before: Decided<'_>,
    after: Decided<'_>,
    credential: Credential,
    pause: &mut dyn FnMut(),
) -> BTreeSet<Change> {
    let [places_before, places_after] = [before, after].map(|decided| decided.places());
    let place = |places: &HashMap<Condition, usize>, condition: Option<Condition>| {
        condition.and_then(|condition| places.get(&condition).copied())
    };
    let others: Vec<_> =
        after.steps().map(|(condition, rule)| (place(&places_before, condition), rule)).collect();
    let mut found = BTreeSet::new();
    for (index, (condition, old)) in before.steps().enumerate() {
        pause();
        let after_place = place(&places_after, condition);
        for (other_index, (before_place, new)) in others.iter().enumerate() {
            let is_excluded = after_place.is_some_and(|place| place < other_index)
                || before_place.is_some_and(|place| place < index);
            if !is_excluded {
                found.extend(change(old, *new, credential));
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
        (true, true) => (old?.outcome != new?.outcome).then_some(Change::Method),
    }
}
