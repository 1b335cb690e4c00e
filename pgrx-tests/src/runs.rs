//! Runs of the stored audit.

use postgres::Client;

use crate::{cell, rows};

/// A row of `scram.audit_run`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// `done`, `partial` and so on.
    pub status: String,
    /// Passwords that it tried.
    pub tested: i64,
    /// Passwords that it left to the next one.
    pub left: i64,
    /// Open findings that it was the first to have.
    pub new: i64,
}

impl Run {
    /// Calls `scram.run_audit()` and reads what it stored.
    pub fn call(client: &mut Client) -> Self {
        Self::call_with(client, "")
    }

    /// The same with arguments.
    pub fn call_with(client: &mut Client, arguments: &str) -> Self {
        let id = cell(client, &format!("CALL scram.run_audit({arguments})")).expect("a run");
        let all = Self::all(client);
        all.into_iter().find(|run| run.id.to_string() == id).expect("its row")
    }

    /// Every run, in order.
    pub fn all(client: &mut Client) -> Vec<Self> {
        let sql = "SELECT run_id, status, candidates_tested, candidates_left, findings_new
                   FROM scram.audit_run ORDER BY run_id";
        let run = |row: Vec<Option<String>>| {
            let mut row = row.into_iter().map(|cell| cell.expect("no column may be NULL"));
            let mut next = || row.next().expect("five columns");
            let number = |text: String| text.parse().expect("a number");
            let (id, status) = (number(next()), next());
            Self { id, status, tested: number(next()), left: number(next()), new: number(next()) }
        };
        rows(client, sql).into_iter().map(run).collect()
    }
}
