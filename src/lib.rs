//! `scram_ext`: SCRAM for SQL. This crate translates between SQL and `scram-core`, nothing else.

use pgrx::prelude::*;
use pgrx::{extension_sql_file, pg_module_magic};

pg_module_magic!(name = c"scram_ext", version = env!("CARGO_PKG_VERSION"));

/// Tells pgrx that the schema exists; `#[pg_extern(schema = "scram")]` needs it. The schema itself
/// is made by bootstrap.sql, which comes first.
#[pg_schema]
mod scram {}

extension_sql_file!("../sql/schema/bootstrap.sql", bootstrap);
