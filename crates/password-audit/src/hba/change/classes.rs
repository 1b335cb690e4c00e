//! Classes of roles and of databases.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::rules::Lists;
use super::{Budget, Credential, LoginRole, TooManyChanges};
use crate::hba::names::{Destination, Login, Match};
use crate::hba::{AuthToken, ListenConfig, Quoting};

/// Databases that are told apart, and replication.
pub(super) struct Destinations<'a> {
    /// Databases that a rule names.
    named: Vec<&'a str>,
    /// A database that stands for those that no rule names.
    other: Option<&'a str>,
    /// Whether rules compare names of roles with those of databases.
    by_role: bool,
    /// The matches of each destination, once they are known and if they are the same for all roles.
    known: RefCell<HashMap<usize, Rc<[Match]>>>,
}

/// Roles that the rules do not tell apart.
pub(super) struct RoleGroup<'a> {
    /// Positions in the list of roles, in order.
    pub(super) roles: Vec<usize>,
    pub(super) credential: Credential,
    replication: bool,
    login: Login<'a>,
    /// The match of each list of users.
    pub(super) users: Rc<[Match]>,
}

/// The bytes of matches in all groups of roles. More are refused.
const MAX_MATCHES: usize = 64 << 20;

/// Roles with the same key are of one group.
#[derive(Eq, Hash, PartialEq)]
struct Key<'a> {
    users: Rc<[Match]>,
    credential: Credential,
    replication: bool,
    /// Databases with the name of the role or of a group that it is in.
    databases: Vec<(&'a str, bool)>,
}

impl<'a> Destinations<'a> {
    pub(super) fn new(lists: &Lists<'a>, listen: &'a ListenConfig, roles: &'a [LoginRole]) -> Self {
        let words = || lists.databases.iter().copied().flatten();
        let is_by_role = |word: &AuthToken| {
            word.quoting != Quoting::Quoted
                && matches!(&*word.text, "samegroup" | "samerole" | "sameuser")
        };
        let by_role = words().any(is_by_role);
        let mut names: HashSet<&str> = words().map(|word| &*word.text).collect();
        if by_role {
            names.extend(roles.iter().map(|role| &*role.name));
            names.extend(listen.memberships.iter().map(|(_, group)| &**group));
        }
        let databases: BTreeSet<&str> =
            listen.databases.iter().map(|database| &*database.name).collect();
        let (named, others): (Vec<&str>, Vec<&str>) =
            databases.into_iter().partition(|name| names.contains(name));
        Self { named, other: others.first().copied(), by_role, known: RefCell::default() }
    }

    /// The destinations of a group, by number.
    pub(super) fn of(&self, group: &RoleGroup<'_>) -> impl Iterator<Item = usize> {
        let databases = self.named.len() + usize::from(self.other.is_some());
        let replication = self.named.len() + 1;
        (0..databases).chain(group.replication.then_some(replication))
    }

    fn destination(&self, index: usize) -> Destination<'a> {
        match (self.named.get(index), self.other) {
            (Some(name), _) => Destination::Database(name),
            (None, Some(name)) if index == self.named.len() => Destination::Database(name),
            _ => Destination::Replication,
        }
    }

    /// The name that rows show. A database with the name of a keyword comes in quotes.
    pub(super) fn name(&self, index: usize) -> String {
        match self.named.get(index) {
            Some(name @ (&"all" | &"replication")) => format!("\"{name}\""),
            Some(name) => (*name).to_owned(),
            None if index == self.named.len() => "all".to_owned(),
            None => "replication".to_owned(),
        }
    }

    /// The match of each list of databases with a destination of a group.
    pub(super) fn matches(
        &self,
        group: &RoleGroup<'_>,
        index: usize,
        lists: &Lists<'_>,
        patterns: bool,
    ) -> Rc<[Match]> {
        let destination = self.destination(index);
        let matches = || {
            let lists = lists.databases.iter();
            lists.map(|list| group.login.matches_databases(list, &destination, patterns)).collect()
        };
        if self.by_role {
            return matches();
        }
        Rc::clone(self.known.borrow_mut().entry(index).or_insert_with(matches))
    }

    /// A destination in the words of a condition.
    pub(super) fn condition(&self, index: usize) -> String {
        self.named
            .get(index)
            .map_or_else(|| "the database".to_owned(), |name| format!("database {name}"))
    }
}

/// Groups the roles, in the order of the first role of each group.
pub(super) fn role_groups<'a>(
    lists: &Lists<'_>,
    destinations: &Destinations<'a>,
    patterns: bool,
    memberships: &'a HashMap<&'a str, HashSet<&'a str>>,
    roles: &'a [LoginRole],
    pause: &mut dyn FnMut(),
) -> Result<Vec<RoleGroup<'a>>, TooManyChanges> {
    let mut budget = Budget(MAX_MATCHES);
    let mut known: HashMap<Key<'_>, usize> = HashMap::new();
    let mut found: Vec<RoleGroup<'a>> = Vec::new();
    for (index, role) in roles.iter().enumerate() {
        pause();
        let login = || Login {
            name: &role.name,
            groups: memberships.get(&*role.name),
            replication: role.replication,
            is_unknown: false,
        };
        let this = login();
        let users: Rc<[Match]> =
            lists.users.iter().map(|list| this.matches_users(list, patterns)).collect();
        let related = |name: &&'a str| this.is_in(name).then_some((*name, *name == role.name));
        let databases = if destinations.by_role { &destinations.named[..] } else { &[] };
        let key = Key {
            users: Rc::clone(&users),
            credential: role.credential,
            replication: role.replication,
            databases: databases.iter().filter_map(related).collect(),
        };
        let number = match known.entry(key) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                budget.spend(users.len() + size_of_val(&*entry.key().databases))?;
                let number = *entry.insert(found.len());
                found.push(RoleGroup {
                    roles: Vec::new(),
                    credential: role.credential,
                    replication: role.replication,
                    login: login(),
                    users,
                });
                number
            }
        };
        found[number].roles.push(index);
    }
    Ok(found)
}
