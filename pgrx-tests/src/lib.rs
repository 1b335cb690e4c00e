//! A real server and real clients against the installed extension.
//!
//! The tests cover everything that a superuser's single transaction cannot show: SQLSTATE, DETAIL
//! and HINT, privileges, logins, cancels, pg_cron. `make installcheck` installs the extension and
//! runs them. Each test owns a [`Cluster`], a throwaway server that is removed when the test ends.
//!
//! ```no_run
//! use scram_ext_client_tests::Cluster;
//!
//! let cluster = Cluster::with_extension();
//! let mut client = cluster.client();
//! let made: bool = client
//!     .query_one("SELECT scram.verify('x', scram.generate('x'))", &[])
//!     .expect("a verdict")
//!     .get(0);
//! assert!(made);
//! ```

#![expect(clippy::missing_panics_doc, reason = "a fixture panics if the test cannot go on")]

pub mod bridge;
pub mod browser;
pub mod cluster;
pub mod cyrus;
pub mod docs;
pub mod errors;
pub mod expected;
pub mod fixtures;
pub mod fleet;
pub mod foreign;
pub mod gateway;
pub mod mongodb;
pub mod odyssey;
pub mod port;
pub mod repeat;
pub mod rows;
pub mod runs;
mod unpacked;
pub mod versions;
pub mod wait;
pub mod xmpp;

pub use bridge::{Bridge, Users};
pub use browser::Page;
pub use cluster::{Builder, Cluster, Pooler};
pub use errors::Raised;
pub use fixtures::make_role;
pub use rows::{cell, rows, text, verify_role};
pub use runs::Run;
pub use versions::Feature;
pub use wait::until;
