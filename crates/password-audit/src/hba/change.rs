//! Compares a proposed pg_hba.conf with the present one, for the roles of a cluster.
//!
//! A class is a set of connections that no rule of either file tells apart. Roles are of one class if the same lists
//! of users name them; databases if the same lists name them; addresses if they lie between the same bounds of
//! networks. Each class is evaluated once, so that the result holds for every connection in it.

mod classes;
mod condition;
mod decision;
mod evaluate;
mod paint;
mod ranges;
mod rows;
mod rules;

use super::{HbaRule, ListenConfig, names};
use rules::Lists;

/// The effect of a change of the rules on a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Change {
    /// It is refused after the change.
    LockedOut,
    /// It was refused before the change.
    LetIn,
    /// It is accepted before and after, by another method or by other options of it.
    Method,
}

impl Change {
    /// The words that rows show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LockedOut => "locked out",
            Self::LetIn => "let in",
            Self::Method => "method changed",
        }
    }
}

/// A role's stored password, as far as methods tell it apart.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Credential {
    /// A password that has expired.
    Expired,
    /// An MD5 hash.
    Md5,
    /// No password, or a text that the server takes for none.
    Nothing,
    /// A verifier that the server accepts as SCRAM-SHA-256.
    Scram,
}

impl Credential {
    /// Why a client with the right password does not pass a method; `None` if it may. Methods that use another
    /// system count as ways in, because the rules do not tell more.
    fn refusal(self, method: &str) -> Option<&'static str> {
        let needs_password = matches!(method, "md5" | "password" | "scram-sha-256");
        match (method, self) {
            // The method says it all.
            ("reject", _) => Some(""),
            (_, Self::Expired) if needs_password => Some(", but the password has expired"),
            (_, Self::Nothing) if needs_password => Some(", but no password is stored"),
            ("scram-sha-256", Self::Md5) => Some(", but an MD5 hash is stored"),
            _ => None,
        }
    }
}

/// A role with LOGIN.
#[derive(Debug)]
pub struct LoginRole {
    /// Its name.
    pub name: String,
    /// Its stored password.
    pub credential: Credential,
    /// Whether it may start a replication connection.
    pub replication: bool,
}

/// A change for the roles, databases and addresses of one or more classes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HbaChange {
    /// The effect.
    pub change: Change,
    /// The roles: names in order, or `all` for each role that may log in.
    pub roles: String,
    /// A database that a rule names, `replication`, or `all` for the databases that no rule names.
    pub database: String,
    /// `local`, `host`, or the narrower types of rules.
    pub connection: String,
    /// `all` or networks; `None` for sockets.
    pub network: Option<String>,
    /// The rule that decides before the change, or the lack of one.
    pub before: String,
    /// The rule that decides after it.
    pub after: String,
}

/// More rows than are supported.
#[derive(Debug)]
pub struct TooManyChanges;

/// The bytes that a part of a comparison may still take, so that no text takes the server's memory.
struct Budget(usize);

impl Default for Budget {
    /// For the changes of one class.
    fn default() -> Self {
        Self(32 << 20)
    }
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), TooManyChanges> {
        self.0 = self.0.checked_sub(bytes).ok_or(TooManyChanges)?;
        Ok(())
    }
}

/// Compares two files for these roles, which come in the order of their names. Calls `pause` between parts of the
/// work, none of which is long.
///
/// # Errors
///
/// [`TooManyChanges`] for a result that would not fit into memory.
pub fn compare(
    before: &[HbaRule],
    after: &[HbaRule],
    listen: &ListenConfig,
    roles: &[LoginRole],
    pause: &mut dyn FnMut(),
) -> Result<Vec<HbaChange>, TooManyChanges> {
    let offered = rules::offered(listen);
    let mut lists = Lists::default();
    let files =
        paint::Files { before: lists.rules(before, offered), after: lists.rules(after, offered) };
    let destinations = classes::Destinations::new(&lists, listen, roles);
    let memberships = names::groups(&listen.memberships);
    let groups =
        classes::role_groups(&lists, &destinations, listen.patterns, &memberships, roles, pause)?;
    let (mut cells, mut rows) = (paint::Cells::new(&lists, offered), rows::Rows::new());
    for (number, group) in groups.iter().enumerate() {
        let of_users = files.of_users(&group.users);
        for index in destinations.of(group) {
            pause();
            let (group, destination) = ((group, &of_users), (&destinations, index));
            let cells = cells.of(&files, group, destination, listen.patterns, pause)?;
            rows.add(number, index, cells)?;
        }
    }
    Ok(rows.finish(&groups, &destinations, roles))
}
