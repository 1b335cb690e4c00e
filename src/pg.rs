//! PostgreSQL as the features of the extension need it. Nothing here knows a feature.

pub(crate) mod caller;
pub(crate) mod catalog_role;
pub(crate) mod check_log;
pub(crate) mod clock;
pub(crate) mod data_limit;
pub(crate) mod foreign_server;
pub(crate) mod hba;
mod hba_line;
mod hba_server;
pub(crate) mod hba_text;
pub(crate) mod ident;
pub(crate) mod interfaces;
pub(crate) mod interrupt;
pub(crate) mod libpq;
pub(crate) mod name;
pub(crate) mod query;
pub(crate) mod random;
pub(crate) mod read_only;
pub(crate) mod record;
pub(crate) mod row_set;
pub(crate) mod scram_secret;
pub(crate) mod search_threads;
pub(crate) mod security_context;
pub(crate) mod startup_options;
pub(crate) mod statement_hiding;
pub(crate) mod text;
pub(crate) mod verifier_text;
