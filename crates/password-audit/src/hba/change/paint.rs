//! The changes for one class of roles and one of databases: kinds of connections and addresses.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::classes::{Destinations, RoleGroup};
use super::decision::{Decision, changes};
use super::ranges::{Family, Range, push};
use super::rules::{Addresses, GSS, LOCAL, Lists, PLAIN, Rule, TLS};
use super::{Change, Credential};
use crate::hba::AuthToken;
use crate::hba::names::Match;

/// The rules before and after the change.
pub(super) struct Files<'a> {
    pub(super) before: Vec<Rule<'a>>,
    pub(super) after: Vec<Rule<'a>>,
}

impl Files<'_> {
    /// The rules of both files whose users a group of roles may match.
    pub(super) fn of_users(&self, users: &[Match]) -> [Vec<usize>; 2] {
        [&self.before, &self.after].map(|rules| {
            let fits =
                |index: &usize| rules[*index].kinds != 0 && users[rules[*index].users] != Match::No;
            (0..rules.len()).filter(fits).collect()
        })
    }
}

/// A change for some kinds of connections and some addresses.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(super) struct Cell {
    pub(super) change: Change,
    pub(super) connection: &'static str,
    pub(super) network: Option<String>,
    pub(super) before: String,
    pub(super) after: String,
}

/// A rule that may fit the class: its number, and what else must be true.
type Fitting = (usize, Option<String>);

/// The rules that may fit, of both files.
type FittingRules = [Vec<Fitting>; 2];

/// Where something happens: ranges of IPv4 and of IPv6.
type Ranges = [Vec<Range>; 2];

/// More results are not kept for later classes.
const KEPT: usize = 2000;

/// More networks go into another row.
const NETWORKS_IN_ROW: usize = 20;

/// The cells of classes. Classes with the same rules have the same ones.
pub(super) struct Cells<'a> {
    lists: &'a Lists<'a>,
    offered: u8,
    known: HashMap<(Credential, FittingRules), Rc<[Rc<Cell>]>>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(lists: &'a Lists<'a>, offered: u8) -> Self {
        Self { lists, offered, known: HashMap::new() }
    }

    /// The cells of a group of roles and a destination. `of_users` comes from [`Files::of_users`].
    pub(super) fn of(
        &mut self,
        files: &Files<'_>,
        (group, of_users): (&RoleGroup<'_>, &[Vec<usize>; 2]),
        (destinations, index): (&Destinations<'_>, usize),
        patterns: bool,
        pause: &mut dyn FnMut(),
    ) -> Rc<[Rc<Cell>]> {
        let databases = destinations.matches(group, index, self.lists, patterns);
        let [before, after] = of_users;
        let condition = |rule: &Rule<'_>| {
            let is_maybe = |matched: Match| matched == Match::Maybe;
            let mut conditions = Vec::new();
            if is_maybe(group.users[rule.users]) {
                let patterns = words(self.lists.users[rule.users]);
                conditions.push(format!("the role matches {patterns}"));
            }
            if is_maybe(databases[rule.databases]) {
                let patterns = words(self.lists.databases[rule.databases]);
                conditions.push(format!("{} matches {patterns}", destinations.condition(index)));
            }
            if let Addresses::Unknown(condition) = &rule.addresses {
                conditions.push(condition.clone());
            }
            (!conditions.is_empty()).then(|| conditions.join(" and "))
        };
        let fitting = |rules: &[Rule<'_>], of_users: &[usize]| -> Vec<Fitting> {
            let fits = |index: &&usize| databases[rules[**index].databases] != Match::No;
            let fitting = of_users.iter().filter(fits);
            fitting.map(|&index| (index, condition(&rules[index]))).collect()
        };
        let fitting = [fitting(&files.before, before), fitting(&files.after, after)];
        let credential = group.credential;
        let content = |(rules, fitting): (&'_ [Rule<'_>], &'_ [Fitting])| -> Vec<u32> {
            fitting.iter().map(|(rule, _)| rules[*rule].content).collect()
        };
        // Rules that are the same but for their places change nothing.
        let is_same = content((&files.before, &fitting[0])) == content((&files.after, &fitting[1]))
            && fitting[0].iter().map(|(_, when)| when).eq(fitting[1].iter().map(|(_, when)| when));
        if is_same {
            return Rc::new([]);
        }
        let key = (credential, fitting);
        if let Some(cells) = self.known.get(&key) {
            return Rc::clone(cells);
        }
        let cells = cells(files, credential, &key.1, self.offered, pause);
        let cells: Rc<[Rc<Cell>]> = cells.into_iter().map(Rc::new).collect();
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(key, Rc::clone(&cells));
        cells
    }
}

/// The patterns of a list.
fn words(list: &[AuthToken]) -> String {
    let patterns = list.iter().map(|word| &*word.text).filter(|word| word.starts_with('/'));
    patterns.collect::<Vec<_>>().join(" or ")
}

fn cells(
    files: &Files<'_>,
    credential: Credential,
    fitting: &FittingRules,
    offered: u8,
    pause: &mut dyn FnMut(),
) -> Vec<Cell> {
    let of_kind = |kind: u8| -> FittingRules {
        let [before, after] = fitting;
        let keep = |rules: &[Rule<'_>], list: &[Fitting]| {
            list.iter().filter(|(rule, _)| rules[*rule].kinds & kind != 0).cloned().collect()
        };
        [keep(&files.before, before), keep(&files.after, after)]
    };
    // Kinds for which the same rules fit are evaluated once; those with the same result share a row.
    let mut evaluated: Vec<(FittingRules, u8)> = Vec::new();
    for kind in [LOCAL, PLAIN, TLS, GSS].into_iter().filter(|kind| offered & kind != 0) {
        let rules = of_kind(kind);
        match evaluated.iter_mut().find(|(known, kinds)| *known == rules && *kinds != LOCAL) {
            Some((_, kinds)) if kind != LOCAL => *kinds |= kind,
            _ => evaluated.push((rules, kind)),
        }
    }
    let mut results: BTreeMap<(Change, String, String, Ranges), u8> = BTreeMap::new();
    for (rules, kinds) in &evaluated {
        for ((change, before, after), ranges) in evaluate(files, credential, rules, pause) {
            if *kinds == LOCAL {
                results.insert((change, before, after, [vec![], vec![]]), LOCAL);
            } else {
                *results.entry((change, before, after, ranges)).or_default() |= kinds;
            }
        }
    }
    let mut cells = Vec::new();
    for ((change, before, after, ranges), kinds) in results {
        for connection in connections(kinds, offered) {
            for network in networks(kinds, &ranges) {
                let (before, after) = (before.clone(), after.clone());
                cells.push(Cell { change, connection, network, before, after });
            }
        }
    }
    cells
}

/// The types of rules that name these kinds, of those that the server offers.
fn connections(kinds: u8, offered: u8) -> &'static [&'static str] {
    let is = |named: u8| kinds == named & offered;
    match kinds {
        LOCAL => &["local"],
        _ if is(PLAIN | TLS | GSS) => &["host"],
        TLS => &["hostssl"],
        GSS => &["hostgssenc"],
        _ if is(PLAIN | GSS) => &["hostnossl"],
        _ if is(PLAIN | TLS) => &["hostnogssenc"],
        PLAIN => &["host (unencrypted)"],
        _ => &["hostssl", "hostgssenc"],
    }
}

/// Networks as rows show them.
fn networks(kinds: u8, [v4, v6]: &Ranges) -> Vec<Option<String>> {
    if kinds == LOCAL {
        return vec![None];
    }
    let whole = |family: Family, ranges: &[Range]| ranges == [(0, family.last())];
    if whole(Family::V4, v4) && whole(Family::V6, v6) {
        return vec![Some("all".to_owned())];
    }
    let networks = [Family::V4.networks(v4), Family::V6.networks(v6)].concat();
    networks.chunks(NETWORKS_IN_ROW).map(|some| Some(some.join(", "))).collect()
}

/// Each change with the addresses that it is for. On a socket, all of them.
fn evaluate(
    files: &Files<'_>,
    credential: Credential,
    fitting: &FittingRules,
    pause: &mut dyn FnMut(),
) -> BTreeMap<(Change, String, String), Ranges> {
    let mut decisions: HashMap<(Decision, Decision), Ranges> = HashMap::new();
    for (number, family) in [Family::V4, Family::V6].into_iter().enumerate() {
        pause();
        let mut bounds = vec![0];
        for (rules, list) in [(&files.before, &fitting[0]), (&files.after, &fitting[1])] {
            for (first, last) in
                list.iter().filter_map(|(rule, _)| rules[*rule].addresses.range(family))
            {
                bounds.push(first);
                bounds.extend(last.checked_add(1).filter(|next| *next <= family.last()));
            }
        }
        bounds.sort_unstable();
        bounds.dedup();
        let before = decide(&files.before, &fitting[0], family, &bounds, pause);
        let after = decide(&files.after, &fitting[1], family, &bounds, pause);
        for (index, decided) in before.into_iter().zip(after).enumerate() {
            let last = bounds.get(index + 1).map_or_else(|| family.last(), |next| next - 1);
            push(&mut decisions.entry(decided).or_default()[number], (bounds[index], last));
        }
    }
    let mut found: BTreeMap<_, Ranges> = BTreeMap::new();
    for ((before, after), ranges) in decisions {
        let (old, new) = ((&before, &*files.before), (&after, &*files.after));
        for change in changes(old, new, credential, pause) {
            let texts =
                (before.text(&files.before, credential), after.text(&files.after, credential));
            found.insert((change, texts.0, texts.1), ranges.clone());
        }
    }
    found
}

/// The decision for each range between two bounds.
fn decide(
    rules: &[Rule<'_>],
    fitting: &[Fitting],
    family: Family,
    bounds: &[u128],
    pause: &mut dyn FnMut(),
) -> Vec<Decision> {
    let ranges_of = |rule: usize| {
        let (first, last) = rules[rule].addresses.range(family)?;
        let start = bounds.partition_point(|bound| *bound < first);
        Some(start..bounds.partition_point(|bound| *bound <= last))
    };
    let mut decided: Vec<Option<usize>> = vec![None; bounds.len()];
    // The next range that is not decided, for each range: what is decided is skipped.
    let mut next: Vec<usize> = (0..=bounds.len()).collect();
    for (rule, _) in fitting.iter().filter(|(_, condition)| condition.is_none()) {
        let Some(ranges) = ranges_of(*rule) else { continue };
        let mut index = undecided(&mut next, ranges.start);
        while index < ranges.end {
            decided[index] = Some(*rule);
            next[index] = index + 1;
            index = undecided(&mut next, index);
        }
    }
    let mut found: Vec<Decision> =
        decided.into_iter().map(|rule| Decision { conditional: Vec::new(), rule }).collect();
    let mut known: Vec<HashSet<&str>> = vec![HashSet::new(); bounds.len()];
    for (rule, condition) in fitting {
        let (Some(condition), Some(ranges)) = (condition, ranges_of(*rule)) else { continue };
        pause();
        for (decision, known) in found[ranges.clone()].iter_mut().zip(&mut known[ranges]) {
            // A condition that has come before has decided.
            if decision.rule.is_none_or(|decider| *rule < decider) && known.insert(condition) {
                decision.conditional.push((*rule, condition.clone()));
            }
        }
    }
    found
}

fn undecided(next: &mut [usize], mut index: usize) -> usize {
    while next[index] != index {
        next[index] = next[next[index]];
        index = next[index];
    }
    index
}
