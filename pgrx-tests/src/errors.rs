//! Errors as a client sees them.

use postgres::Client;

/// The parts of an error that the contract fixes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Raised {
    /// SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// DETAIL, if there is one.
    pub detail: Option<String>,
    /// HINT, if there is one.
    pub hint: Option<String>,
    /// CONTEXT, if there is one.
    pub context: Option<String>,
}

impl Raised {
    /// Runs `sql`, which must fail in the server.
    pub fn by(client: &mut Client, sql: &str) -> Self {
        match client.simple_query(sql) {
            Ok(_) => panic!("no error: {sql}"),
            Err(error) => Self::from_error(&error),
        }
    }

    /// Splits an error into its fields. The error must have come from the server.
    pub fn from_error(error: &postgres::Error) -> Self {
        let error = error.as_db_error().unwrap_or_else(|| panic!("not the server's: {error}"));
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Self {
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: owned(error.detail()),
            hint: owned(error.hint()),
            context: owned(error.where_()),
        }
    }

    /// Every text in it, to look for secrets.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(&self.message), self.detail.as_ref(), self.hint.as_ref(), self.context.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}
