//! Contents of a server that several tests need.

use postgres::Client;

/// Defines `pg_temp.make_role(role, secret, valid_until)` and `pg_temp.password()` in a superuser's
/// session.
pub const ROLES: &str = include_str!("fixtures/roles.sql");

/// Makes a role that can log in for ever, with any stored secret.
///
/// `secret` is an SQL expression. With `scram.generate(…, 1)` passwords are tried on it at the lowest
/// cost.
pub fn make_role(client: &mut Client, name: &str, secret: &str) {
    let sql = format!(
        "{ROLES}
         SET scram.min_iterations = 1;
         SELECT pg_temp.make_role('{name}', {secret}, 'infinity');
         RESET scram.min_iterations",
    );
    client.batch_execute(&sql).unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
}

/// The server of a company: 322 roles and five sources, for psql. Needs [`ROLES`].
pub const COMPANY: &str = include_str!("fixtures/company.sql");
