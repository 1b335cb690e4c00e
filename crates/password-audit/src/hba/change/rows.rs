//! Rows of the result: roles that behave in the same way share one.

use std::collections::HashMap;
use std::rc::Rc;

use super::classes::{Destinations, RoleGroup};
use super::paint::Cell;
use super::{Budget, HbaChange, LoginRole, TooManyChanges};

/// More rows are refused.
const MAX_ROWS: usize = 100_000;

/// Groups of roles in all rows together. More are refused.
const MAX_ENTRIES: usize = 4_000_000;

/// The bytes of texts in all rows. More are refused.
const MAX_BYTES: usize = 48 << 20;

/// Roles that a row names.
const NAMED: usize = 20;

/// Rows in the making: destination and change, with the groups of roles.
pub(super) struct Rows {
    groups: HashMap<(usize, Rc<Cell>), Vec<usize>>,
    entries: usize,
    budget: Budget,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self { groups: HashMap::new(), entries: 0, budget: Budget(MAX_BYTES) }
    }

    pub(super) fn add(
        &mut self,
        group: usize,
        destination: usize,
        cells: Rc<[Rc<Cell>]>,
    ) -> Result<(), TooManyChanges> {
        for cell in &*cells {
            let groups = self.groups.entry((destination, Rc::clone(cell))).or_default();
            if groups.is_empty() {
                self.budget.spend(cell.size())?;
            }
            groups.push(group);
        }
        self.entries += cells.len();
        if self.groups.len() > MAX_ROWS || self.entries > MAX_ENTRIES {
            return Err(TooManyChanges);
        }
        Ok(())
    }

    pub(super) fn finish(
        self,
        groups: &[RoleGroup<'_>],
        destinations: &Destinations<'_>,
        roles: &[LoginRole],
    ) -> Vec<HbaChange> {
        let mut rows: Vec<_> = self
            .groups
            .into_iter()
            .map(|((destination, cell), members)| HbaChange {
                change: cell.change,
                roles: names(&members, groups, roles),
                database: destinations.name(destination),
                connection: cell.connection.to_owned(),
                network: cell.network.clone(),
                before: cell.before.clone(),
                after: cell.after.clone(),
            })
            .collect();
        rows.sort_unstable();
        rows
    }
}

/// The names of the roles of these groups, in order.
fn names(members: &[usize], groups: &[RoleGroup<'_>], roles: &[LoginRole]) -> String {
    let count: usize = members.iter().map(|group| groups[*group].roles.len()).sum();
    if count == roles.len() {
        return "all".to_owned();
    }
    // Each group has its roles in order, so that its first ones are enough.
    let first = |group: &usize| groups[*group].roles.iter().take(NAMED).copied();
    let mut listed: Vec<usize> = members.iter().flat_map(first).collect();
    listed.sort_unstable();
    let quoted = |index: &usize| match &*roles[*index].name {
        // A role with the name of the keyword.
        "all" => "\"all\"",
        name => name,
    };
    let named: Vec<&str> = listed.iter().take(NAMED).map(quoted).collect();
    let more = if count > named.len() {
        format!(" and {} more", count - named.len())
    } else {
        String::new()
    };
    let separator = if more.is_empty() { "" } else { ", …" };
    format!("{}{separator}{more}", named.join(", "))
}
