//! Step 6: the database.

use super::facts::LoginFacts;
use super::{Refusal, Row, Stage, Step};

pub(super) fn rows(facts: &LoginFacts) -> Vec<Row> {
    if facts.request.replication {
        return vec![Step::Database.passed("a connection for replication uses no database")];
    }
    let name = &facts.request.database;
    let refused = |sqlstate, message: String, detail: String| {
        Step::Database.refused(Stage::Database, Refusal::new(sqlstate, message), detail)
    };
    let Some(database) = &facts.database else {
        let message = format!("database \"{}\" does not exist", name.text);
        let row = refused("3D000", message, "the database does not exist".to_owned());
        return vec![row.with_remedy(format!("CREATE DATABASE {};", name.sql))];
    };
    let mut rows = Vec::new();
    if database.is_invalid {
        let message = format!("cannot connect to invalid database \"{}\"", name.text);
        let row = refused("55000", message, "its removal was interrupted".to_owned());
        rows.push(row.with_remedy(format!("DROP DATABASE {};", name.sql)));
    }
    if !database.allows_connections {
        let message = format!("database \"{}\" is not currently accepting connections", name.text);
        let row = refused("55000", message, "ALLOW_CONNECTIONS is false".to_owned());
        rows.push(row.with_remedy(format!("ALTER DATABASE {} ALLOW_CONNECTIONS true;", name.sql)));
    }
    let role = facts.role.as_ref();
    let (role_name, superuser) = (&facts.request.role, role.is_some_and(|role| role.superuser));
    if role.is_some() && !database.may_connect {
        let message = format!("permission denied for database \"{}\"", name.text);
        let detail = "the role does not have the CONNECT privilege".to_owned();
        let row = refused("42501", message, detail);
        let grant = format!("GRANT CONNECT ON DATABASE {} TO {};", name.sql, role_name.sql);
        rows.push(row.with_remedy(grant));
    }
    let (limit, used) = (database.connection_limit, database.connections);
    if !superuser && limit >= 0 && used >= limit {
        let message = format!("too many connections for database \"{}\"", name.text);
        let detail = format!("CONNECTION LIMIT {limit}, and the database has {used} connections");
        let row = refused("53300", message, detail);
        rows.push(row.with_remedy(format!("ALTER DATABASE {} CONNECTION LIMIT -1;", name.sql)));
    }
    if rows.is_empty() {
        rows.push(Step::Database.passed("the database exists and accepts the role"));
    }
    rows
}
