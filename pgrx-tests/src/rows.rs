//! Results as text, as psql prints them: `None` is NULL.

use postgres::{Client, SimpleQueryMessage};

/// The rows that `sql` returns; of several statements, all rows.
pub fn rows(client: &mut Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
    messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect()
}

/// The only value of the only row.
pub fn cell(client: &mut Client, sql: &str) -> Option<String> {
    let rows = rows(client, sql);
    match rows.as_slice() {
        [row] if row.len() == 1 => row[0].clone(),
        _ => panic!("not one value, but {rows:?}\n{sql}"),
    }
}

/// A value that is not NULL, as [`rows`] and [`cell`] have it.
pub fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// The result of `scram.verify_role`, with the password as a bound parameter.
pub fn verify_role(client: &mut Client, role: &str, password: &str) -> Option<bool> {
    let query = "SELECT scram.verify_role($1::text::name, $2)";
    client.query_one(query, &[&role, &password]).expect("an answer").get(0)
}
