//! The changes for one class of roles and one of databases: kinds of connections and addresses.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::classes::{Destinations, RoleGroup};
use super::condition::Condition;
use super::evaluate::{Evaluation, Ranges};
use super::ranges::{Family, Range};
use super::rules::{GSS, LOCAL, Lists, PLAIN, Rule, TLS};
use super::{Budget, Change, Credential, TooManyChanges};
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

impl Cell {
    /// The bytes that it takes.
    pub(super) fn size(&self) -> usize {
        let network = self.network.as_ref().map_or(0, String::len);
        size_of::<Self>() + network + self.before.len() + self.after.len()
    }
}

/// A rule that may fit the class: its number, and what else must be true.
pub(super) type Fitting = (u32, Option<Condition>);

/// The rules that may fit, of both files.
pub(super) type FittingRules = [Vec<Fitting>; 2];

/// Results of more bytes are not kept for later classes.
const KEPT: usize = 32 << 20;

/// More networks go into another row.
const NETWORKS_IN_ROW: usize = 20;

/// The cells of classes. Classes with the same rules have the same ones.
pub(super) struct Cells<'a> {
    lists: &'a Lists<'a>,
    offered: u8,
    known: HashMap<(Credential, FittingRules), Rc<[Rc<Cell>]>>,
    /// The bytes of `known`.
    kept: usize,
}

impl<'a> Cells<'a> {
    pub(super) fn new(lists: &'a Lists<'a>, offered: u8) -> Self {
        Self { lists, offered, known: HashMap::new(), kept: 0 }
    }

    /// The cells of a group of roles and a destination. `of_users` comes from [`Files::of_users`].
    pub(super) fn of(
        &mut self,
        files: &Files<'_>,
        (group, of_users): (&RoleGroup<'_>, &[Vec<usize>; 2]),
        (destinations, index_of_database): (&Destinations<'_>, usize),
        patterns: bool,
        pause: &mut dyn FnMut(),
    ) -> Result<Rc<[Rc<Cell>]>, TooManyChanges> {
        let databases = destinations.matches(group, index_of_database, self.lists, patterns);
        let [before, after] = of_users;
        let fitting = |rules: &[Rule<'_>], of_users: &[usize]| -> Vec<Fitting> {
            let fitting = of_users.iter().filter_map(|&index| {
                let rule = &rules[index];
                let matches = (group.users[rule.users], databases[rule.databases]);
                let condition = || Condition::new(rule, matches, index_of_database, self.lists);
                (matches.1 != Match::No).then(|| (number(index), condition()))
            });
            fitting.collect()
        };
        let fitting = [fitting(&files.before, before), fitting(&files.after, after)];
        let credential = group.credential;
        let content = |(rules, fitting): (&'_ [Rule<'_>], &'_ [Fitting])| -> Vec<u32> {
            fitting.iter().map(|(rule, _)| rules[*rule as usize].content).collect()
        };
        // Rules that are the same but for their places change nothing.
        let is_same = content((&files.before, &fitting[0])) == content((&files.after, &fitting[1]))
            && fitting[0].iter().map(|(_, when)| when).eq(fitting[1].iter().map(|(_, when)| when));
        if is_same {
            return Ok(Rc::new([]));
        }
        let key = (credential, fitting);
        if let Some(cells) = self.known.get(&key) {
            return Ok(Rc::clone(cells));
        }
        let evaluation = Evaluation { files, lists: self.lists, destinations, credential, pause };
        let cells = cells(evaluation, &key.1, self.offered)?;
        let cells: Rc<[Rc<Cell>]> = cells.into_iter().map(Rc::new).collect();
        let size = size_of_val(&*key.1[0])
            + size_of_val(&*key.1[1])
            + cells.iter().map(|cell| cell.size()).sum::<usize>();
        if self.kept + size > KEPT {
            self.known.clear();
            self.kept = 0;
        }
        self.kept += size;
        self.known.insert(key, Rc::clone(&cells));
        Ok(cells)
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn cells(
    mut evaluation: Evaluation<'_>,
    fitting: &FittingRules,
    offered: u8,
) -> Result<Vec<Cell>, TooManyChanges> {
    let files = evaluation.files;
    let mut budget = Budget::default();
    let of_kind = |kind: u8| -> FittingRules {
        let [before, after] = fitting;
        let keep = |rules: &[Rule<'_>], list: &[Fitting]| {
            let of_kind = list.iter().filter(|(rule, _)| rules[*rule as usize].kinds & kind != 0);
            of_kind.copied().collect()
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
        for ((change, before, after), ranges) in evaluation.changes(rules, &mut budget)? {
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
                let cell = Cell { change, connection, network, before, after };
                budget.spend(cell.size())?;
                cells.push(cell);
            }
        }
    }
    Ok(cells)
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
