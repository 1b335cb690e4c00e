#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod channel_binding;
pub mod client;
pub mod derivation;
pub mod explain;
pub mod formats;
pub mod keys;
pub mod mechanism;
pub mod message;
pub mod mock;
pub mod random_password;
pub mod saslprep;
pub mod search;
pub mod server;
pub mod state;
pub mod transcript;
pub mod verifier;

pub use mechanism::{Mechanism, Selection};
pub use saslprep::Password;
pub use search::Search;
pub use verifier::{Parameters, Verifier};
