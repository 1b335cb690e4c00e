//! What differs between PostgreSQL's major versions, as far as the extension or its users see it.
//!
//! This is the only place of the tests that knows numbers of versions. `tests/versions.rs` tests each
//! feature on both sides, and `docs/compatibility.md` lists them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// A change of PostgreSQL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Feature {
    /// CREATEROLE reaches only the roles that one has ADMIN OPTION on.
    AdminOption,
    /// In pg_hba.conf, patterns for roles and databases, and included files.
    HbaPatterns,
    /// The server's own derivation of keys can be interrupted.
    InterruptibleDerivation,
    /// MD5 hashes are deprecated: a statement that stores one warns.
    Md5Warnings,
    /// The method `oauth` of pg_hba.conf.
    Oauth,
    /// No rule (`CREATE RULE`) makes a view of a table.
    NoRuleMakesViews,
    /// The setting `scram_iterations`.
    ScramIterations,
    /// The server stores no secret of more than 512 bytes.
    SecretCap,
    /// The setting `transaction_timeout`.
    TransactionTimeout,
    /// Generated columns that are not stored.
    VirtualColumns,
}

/// Each feature, the major version that brought it, and its line in `docs/compatibility.md`.
pub const FEATURES: [(Feature, u32, &str); 10] = [
    (Feature::AdminOption, 16, "CREATEROLE needs the ADMIN option"),
    (Feature::HbaPatterns, 16, "patterns and includes in pg_hba.conf"),
    (Feature::InterruptibleDerivation, 16, "the server's derivation of keys can be interrupted"),
    (Feature::NoRuleMakesViews, 16, "no rule makes a view of a table"),
    (Feature::ScramIterations, 16, "scram_iterations"),
    (Feature::TransactionTimeout, 17, "transaction_timeout"),
    (Feature::Md5Warnings, 18, "warnings about MD5"),
    (Feature::Oauth, 18, "oauth in pg_hba.conf"),
    (Feature::SecretCap, 18, "at most 512 bytes of a stored secret"),
    (Feature::VirtualColumns, 18, "virtual generated columns"),
];

impl Feature {
    /// Whether the server that is tested has it.
    pub fn is_there(self) -> bool {
        let (_, since, _) = FEATURES.iter().find(|(feature, ..)| *feature == self).expect("a line");
        major() >= *since
    }
}

/// The major version of the server that is tested.
pub fn major() -> u32 {
    static MAJOR: LazyLock<u32> = LazyLock::new(|| {
        let version = pg_config("--version");
        let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().expect("a number")
    });
    *MAJOR
}

/// Whether the server can load this library: a PostgreSQL from elsewhere may come without pg_cron or
/// pgaudit.
pub fn has_library(name: &str) -> bool {
    PathBuf::from(pg_config("--pkglibdir")).join(format!("{name}.so")).exists()
}

/// Whether the server can create this extension.
pub fn has_extension(name: &str) -> bool {
    PathBuf::from(pg_config("--sharedir")).join(format!("extension/{name}.control")).exists()
}

/// What `pg_config` prints for an option. `PG_CONFIG` says which one, as with PGXS.
pub fn pg_config(option: &str) -> String {
    let pg_config = std::env::var_os("PG_CONFIG")
        .unwrap_or_else(|| "/usr/lib/postgresql/15/bin/pg_config".into());
    let output = Command::new(&pg_config).arg(option).output();
    let output =
        output.unwrap_or_else(|error| panic!("{}: {error}", PathBuf::from(&pg_config).display()));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
