//! The changes for one class of connections, with the addresses that they are for.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::classes::Destinations;
use super::decision::{Conditional, Conditionals, Decided, Decision, changes};
use super::paint::{Files, Fitting, FittingRules};
use super::ranges::{Family, Range, push};
use super::rules::{Lists, Rule};
use super::{Budget, Change, Credential, TooManyChanges};

/// Where something happens: ranges of IPv4 and of IPv6.
pub(super) type Ranges = [Vec<Range>; 2];

/// What the changes of one class follow from.
pub(super) struct Evaluation<'a> {
    pub(super) files: &'a Files<'a>,
    pub(super) lists: &'a Lists<'a>,
    pub(super) destinations: &'a Destinations<'a>,
    pub(super) credential: Credential,
    pub(super) pause: &'a mut dyn FnMut(),
}

impl Evaluation<'_> {
    /// Each change with the addresses that it is for. On a socket, all of them.
    pub(super) fn changes(
        &mut self,
        fitting: &FittingRules,
        budget: &mut Budget,
    ) -> Result<BTreeMap<(Change, String, String), Ranges>, TooManyChanges> {
        let files = self.files;
        let mut conditionals = Conditionals::default();
        let mut decisions: HashMap<(Decision, Decision), Ranges> = HashMap::new();
        for (number, family) in [Family::V4, Family::V6].into_iter().enumerate() {
            (self.pause)();
            let bounds = bounds(files, fitting, family);
            let mut decide = |rules: &[Rule<'_>], fitting: &[Fitting]| {
                let file = File { rules, fitting, family, bounds: &bounds };
                file.decide(&mut conditionals, budget, self.pause)
            };
            let before = decide(&files.before, &fitting[0])?;
            let after = decide(&files.after, &fitting[1])?;
            for (index, decided) in before.into_iter().zip(after).enumerate() {
                let last = bounds.get(index + 1).map_or_else(|| family.last(), |next| next - 1);
                push(&mut decisions.entry(decided).or_default()[number], (bounds[index], last));
            }
        }
        let mut found: BTreeMap<_, Ranges> = BTreeMap::new();
        for ((before, after), ranges) in decisions {
            let decided =
                |rules, decision| Decided { rules, decision, conditionals: &conditionals };
            let (old, new) = (decided(&*files.before, before), decided(&*files.after, after));
            for change in changes(old, new, self.credential, self.pause) {
                let context = (self.lists, self.destinations);
                let mut text =
                    |decided: Decided<'_>| decided.text(self.credential, context, budget);
                found.insert((change, text(old)?, text(new)?), ranges.clone());
            }
        }
        Ok(found)
    }
}

/// The first address of each range in which the same rules fit.
fn bounds(files: &Files<'_>, fitting: &FittingRules, family: Family) -> Vec<u128> {
    let mut bounds = vec![0];
    for (rules, list) in [(&files.before, &fitting[0]), (&files.after, &fitting[1])] {
        let ranges = list.iter().filter_map(|(rule, _)| range(rules, *rule, family));
        for (first, last) in ranges {
            bounds.push(first);
            bounds.extend(last.checked_add(1).filter(|next| *next <= family.last()));
        }
    }
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

fn range(rules: &[Rule<'_>], rule: u32, family: Family) -> Option<Range> {
    rules[rule as usize].addresses.range(family)
}

/// The rules of a file that may fit a class, and ranges of addresses.
struct File<'a> {
    rules: &'a [Rule<'a>],
    fitting: &'a [Fitting],
    family: Family,
    bounds: &'a [u128],
}

impl File<'_> {
    /// The decision for each range between two bounds.
    fn decide(
        &self,
        conditionals: &mut Conditionals,
        budget: &mut Budget,
        pause: &mut dyn FnMut(),
    ) -> Result<Vec<Decision>, TooManyChanges> {
        let deciders = self.deciders();
        // Where conditional rules begin to fit, and where they end.
        let mut events: HashMap<usize, Vec<Conditional>> = HashMap::new();
        for (rule, condition) in self.fitting {
            if let (Some(condition), Some(ranges)) = (condition, self.ranges(*rule)) {
                for index in [ranges.start, ranges.end] {
                    events.entry(index).or_default().push((*rule, *condition));
                }
            }
        }
        let mut fitting: BTreeMap<u32, Conditional> = BTreeMap::new();
        // The conditional rules before each rule that decides, while the same ones fit.
        let mut known: HashMap<Option<u32>, u32> = HashMap::new();
        let mut found = Vec::with_capacity(deciders.len());
        for (index, rule) in deciders.into_iter().enumerate() {
            if let Some(changed) = events.get(&index) {
                known.clear();
                for conditional in changed {
                    if fitting.remove(&conditional.0).is_none() {
                        fitting.insert(conditional.0, *conditional);
                    }
                }
            }
            let conditional = match known.get(&rule) {
                Some(number) => *number,
                None => {
                    pause();
                    let before = fitting.range(..rule.unwrap_or(u32::MAX));
                    // A condition that has come before has decided.
                    let mut met = HashSet::new();
                    let list = before.map(|(_, conditional)| *conditional);
                    let list = list.filter(|(_, condition)| met.insert(*condition)).collect();
                    *known.entry(rule).or_insert(conditionals.number(list, budget)?)
                }
            };
            found.push(Decision { conditional, rule });
        }
        Ok(found)
    }

    /// The first rule without a condition for each range.
    fn deciders(&self) -> Vec<Option<u32>> {
        let mut decided: Vec<Option<u32>> = vec![None; self.bounds.len()];
        // The next range that is not decided, for each range: what is decided is skipped.
        let mut next: Vec<usize> = (0..=self.bounds.len()).collect();
        for (rule, _) in self.fitting.iter().filter(|(_, condition)| condition.is_none()) {
            let Some(ranges) = self.ranges(*rule) else { continue };
            let mut index = undecided(&mut next, ranges.start);
            while index < ranges.end {
                decided[index] = Some(*rule);
                next[index] = index + 1;
                index = undecided(&mut next, index);
            }
        }
        decided
    }

    fn ranges(&self, rule: u32) -> Option<std::ops::Range<usize>> {
        let (first, last) = range(self.rules, rule, self.family)?;
        let start = self.bounds.partition_point(|bound| *bound < first);
        Some(start..self.bounds.partition_point(|bound| *bound <= last))
    }
}

fn undecided(next: &mut [usize], mut index: usize) -> usize {
    while next[index] != index {
        next[index] = next[next[index]];
        index = next[index];
    }
    index
}
