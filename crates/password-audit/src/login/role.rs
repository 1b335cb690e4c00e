//! Step 4: the role, and the free connections of the server.

use super::facts::{LoginFacts, LoginRole};
use super::method::password_refusal;
use super::rule::Decided;
use super::{Refusal, Row, Stage, Step};

pub(super) fn rows(facts: &LoginFacts, decided: &Decided<'_>) -> Vec<Row> {
    let name = &facts.request.role;
    let mut rows = Vec::new();
    rows.extend(slots(facts));
    let Some(role) = &facts.role else {
        // A password method does not tell that the role does not exist.
        let row = match password_refusal(facts, decided) {
            _ if name.text.is_empty() => Step::Role.refused(
                Stage::Connection,
                Refusal::new("28000", "no PostgreSQL user name specified in startup packet"),
                "the name of the role is empty",
            ),
            Some(refusal) => {
                Step::Role.refused(Stage::Authentication, refusal, "the role does not exist")
            }
            None => Step::Role.refused(
                Stage::Role,
                Refusal::new("28000", format!("role \"{}\" does not exist", name.text)),
                "the role does not exist",
            ),
        };
        rows.push(row.with_remedy(format!("CREATE ROLE {} LOGIN;", name.sql)));
        return rows;
    };
    if !role.can_login {
        let message = format!("role \"{}\" is not permitted to log in", name.text);
        let row = Step::Role.refused(Stage::Role, Refusal::new("28000", message), "NOLOGIN");
        rows.push(row.with_remedy(format!("ALTER ROLE {} LOGIN;", name.sql)));
    }
    rows.extend(expiry(facts, decided, role));
    rows.extend(limit(facts, role));
    rows.extend(reserved(facts, role));
    rows.extend(replication(facts, role));
    if rows.iter().all(|row| row.ok == Some(true)) {
        let limit = match role.connection_limit {
            limit @ 0.. if !role.superuser => {
                format!(", {} of {limit} connections are in use", role.connections)
            }
            _ => String::new(),
        };
        rows.insert(0, Step::Role.passed(format!("the role may log in{limit}")));
    }
    rows
}

/// `InitProcess` in PostgreSQL's `src/backend/storage/lmgr/proc.c`, before authentication.
fn slots(facts: &LoginFacts) -> Option<Row> {
    let slots = &facts.slots;
    if facts.request.replication {
        (slots.senders >= slots.max_senders).then(|| {
            let max = slots.max_senders;
            let quote = if facts.major >= 17 { "\"" } else { "" };
            let message = format!(
                "number of requested standby connections exceeds {quote}max_wal_senders{quote} (currently {max})"
            );
            let detail = format!("max_wal_senders is {max}, and {} are in use", slots.senders);
            let row = Step::Role.refused(Stage::Slot, Refusal::new("53300", message), detail);
            row.with_remedy(format!(
                "ALTER SYSTEM SET max_wal_senders = {}; -- then restart",
                max + 10
            ))
        })
    } else {
        (slots.used >= slots.max).then(|| {
            let max = slots.max;
            let refusal = Refusal::new("53300", "sorry, too many clients already");
            let detail = format!("max_connections is {max}, and {} are in use", slots.used);
            let row = Step::Role.refused(Stage::Slot, refusal, detail);
            row.with_remedy(format!(
                "ALTER SYSTEM SET max_connections = {}; -- then restart",
                max * 2
            ))
        })
    }
}

fn expiry(facts: &LoginFacts, decided: &Decided<'_>, role: &LoginRole) -> Option<Row> {
    let until = role.valid_until.as_ref().filter(|_| role.is_expired)?;
    let detail = format!("VALID UNTIL {until} has passed");
    let row = match password_refusal(facts, decided) {
        Some(refusal) => Step::Role.refused(Stage::Authentication, refusal, detail),
        None => Step::Role.passed(format!("{detail}, which matters for password methods only")),
    };
    let remedy = format!("ALTER ROLE {} VALID UNTIL 'infinity';", facts.request.role.sql);
    Some(if row.ok == Some(false) { row.with_remedy(remedy) } else { row })
}

/// The limit of the role. The connection itself counts, too.
fn limit(facts: &LoginFacts, role: &LoginRole) -> Option<Row> {
    let (limit, used) = (role.connection_limit, role.connections);
    if role.superuser || limit < 0 || used < limit {
        return None;
    }
    let detail = format!("CONNECTION LIMIT {limit}, and the role has {used} connections");
    let remedy = format!("ALTER ROLE {} CONNECTION LIMIT -1;", facts.request.role.sql);
    let row = if facts.request.replication && used == limit {
        let detail =
            format!("{detail}; minor releases differ in whether one for replication counts");
        Step::Role.unknown(Stage::Role, detail)
    } else {
        let message = format!("too many connections for role \"{}\"", facts.request.role.text);
        Step::Role.refused(Stage::Role, Refusal::new("53300", message), detail)
    };
    Some(row.with_remedy(remedy))
}

/// Slots that are kept for some roles. The connection itself takes one of the free slots first.
fn reserved(facts: &LoginFacts, role: &LoginRole) -> Option<Row> {
    let slots = &facts.slots;
    if role.superuser || facts.request.replication || slots.superuser_reserved + slots.reserved == 0
    {
        return None;
    }
    let left = slots.max - slots.used - 1;
    let message = if facts.major < 16 {
        (left < slots.superuser_reserved).then_some(
            "remaining connection slots are reserved for non-replication superuser connections",
        )
    } else if left < slots.superuser_reserved {
        Some("remaining connection slots are reserved for roles with the SUPERUSER attribute")
    } else if left < slots.superuser_reserved + slots.reserved && !role.may_use_reserved {
        Some(
            "remaining connection slots are reserved for roles with privileges of the \
             \"pg_use_reserved_connections\" role",
        )
    } else {
        None
    };
    let detail =
        format!("{} of {} connections are in use, and the others are kept", slots.used, slots.max);
    message.map(|message| {
        let row = Step::Role.refused(Stage::Reserved, Refusal::new("53300", message), detail);
        let remedy =
            format!("ALTER SYSTEM SET max_connections = {}; -- then restart", slots.max * 2);
        row.with_remedy(remedy)
    })
}

fn replication(facts: &LoginFacts, role: &LoginRole) -> Option<Row> {
    if !facts.request.replication || role.superuser || role.replication {
        return None;
    }
    let message = if facts.major < 16 {
        "must be superuser or replication role to start walsender"
    } else {
        "permission denied to start WAL sender"
    };
    let row = Step::Role.refused(Stage::Reserved, Refusal::new("42501", message), "NOREPLICATION");
    Some(row.with_remedy(format!("ALTER ROLE {} REPLICATION;", facts.request.role.sql)))
}
