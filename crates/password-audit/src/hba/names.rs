//! The roles and databases that a rule is for: `check_role` and `check_db` in PostgreSQL's
//! `src/backend/libpq/hba.c`.

use std::collections::{HashMap, HashSet};

use super::{AuthToken, HbaRule, ListenConfig};

/// Whether a rule is for a role and its destination.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Match {
    Maybe,
    No,
    Yes,
}

impl Match {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Maybe,
        }
    }

    /// The best of several answers: yes, then maybe, then no.
    fn any(fits: impl Iterator<Item = Self>) -> Self {
        let mut best = Self::No;
        for fit in fits {
            match fit {
                Self::Yes => return fit,
                Self::Maybe => best = fit,
                Self::No => (),
            }
        }
        best
    }
}

/// The destination of a connection.
pub(super) enum Destination<'a> {
    Database(&'a str),
    /// A replication connection, which has no database.
    Replication,
}

/// A role that wants to connect.
pub(super) struct Login<'a> {
    pub(super) name: &'a str,
    /// Its groups, direct and indirect ones, without itself.
    pub(super) groups: Option<&'a HashSet<&'a str>>,
    /// Whether there is no role of this name, which is then a member of nothing.
    pub(super) is_unknown: bool,
    pub(super) replication: bool,
}

impl Login<'_> {
    pub(super) fn matches(
        &self,
        rule: &HbaRule,
        destination: &Destination<'_>,
        patterns: bool,
    ) -> Match {
        self.matches_users(&rule.users, patterns).and(self.matches_databases(
            &rule.databases,
            destination,
            patterns,
        ))
    }

    /// Whether a rule's list of users names the role.
    pub(super) fn matches_users(&self, users: &[AuthToken], patterns: bool) -> Match {
        Match::any(users.iter().map(|user| {
            user.judged(|quoted| match (&*user.text, user.text.strip_prefix('+')) {
                (_, Some(group)) if !quoted => yes(self.is_in(group)),
                ("all", _) if !quoted => Match::Yes,
                (pattern, _) if patterns && pattern.starts_with('/') => Match::Maybe,
                (name, _) => yes(name == self.name),
            })
        }))
    }

    /// Whether a rule's list of databases names the destination, with this role.
    pub(super) fn matches_databases(
        &self,
        databases: &[AuthToken],
        destination: &Destination<'_>,
        patterns: bool,
    ) -> Match {
        Match::any(databases.iter().map(|database| {
            database.judged(|quoted| match (destination, &*database.text) {
                (Destination::Replication, keyword) => yes(!quoted && keyword == "replication"),
                (Destination::Database(_), "all") if !quoted => Match::Yes,
                (Destination::Database(_), "replication") if !quoted => Match::No,
                (Destination::Database(name), "samegroup" | "samerole") if !quoted => {
                    yes(self.is_in(name))
                }
                (Destination::Database(name), "sameuser") if !quoted => yes(*name == self.name),
                (_, pattern) if patterns && pattern.starts_with('/') => Match::Maybe,
                (Destination::Database(name), database) => yes(database == *name),
            })
        }))
    }

    pub(super) fn is_in(&self, group: &str) -> bool {
        !self.is_unknown
            && (group == self.name || self.groups.is_some_and(|groups| groups.contains(group)))
    }
}

pub(super) fn yes(fits: bool) -> Match {
    if fits { Match::Yes } else { Match::No }
}

/// The destinations that a role may connect to.
pub(super) fn destinations<'a>(
    login: &'a Login<'_>,
    listen: &'a ListenConfig,
) -> impl Iterator<Item = Destination<'a>> {
    let open = listen.databases.iter().filter(|database| {
        database.open_to.as_ref().is_none_or(|open_to| open_to.contains(login.name))
    });
    open.map(|database| Destination::Database(&database.name))
        .chain(login.replication.then_some(Destination::Replication))
}

/// The groups of each member, direct and indirect ones.
pub(super) fn groups(memberships: &[(String, String)]) -> HashMap<&str, HashSet<&str>> {
    let mut direct: HashMap<&str, Vec<&str>> = HashMap::new();
    for (member, group) in memberships {
        direct.entry(member).or_default().push(group);
    }
    let all = |member: &str| {
        let mut found = HashSet::new();
        let mut next = direct.get(member).cloned().unwrap_or_default();
        while let Some(group) = next.pop() {
            if found.insert(group) {
                next.extend(direct.get(group).into_iter().flatten());
            }
        }
        found
    };
    direct.keys().map(|&member| (member, all(member))).collect()
}
