//! The four messages of an exchange, one type each, read and written without I/O.
//!
//! Source: RFC 5802 sections 5.1 and 7.

mod attribute;
mod client_final;
mod client_first;
mod fault;
mod server_final;
mod server_first;

pub use client_final::ClientFinal;
pub use client_first::{ClientFirst, Gs2Flag};
pub use fault::{ErrorValue, Fault};
pub use server_final::ServerFinal;
pub use server_first::ServerFirst;

pub(crate) use attribute::{escape, unescape};

/// Whether a message can carry this nonce, of either side.
pub fn is_nonce(nonce: &str) -> bool {
    attribute::is_printable(nonce) && nonce.len() <= MAX_NONCE_LEN
}

/// The longest message of a client that is read, in bytes: PostgreSQL's limit (`PG_MAX_SASL_MESSAGE_LENGTH`,
/// src/include/libpq/sasl.h).
pub const MAX_MESSAGE_LEN: usize = 1024;

/// The longest message of a server that is read, in bytes. The longest nonces and the longest salt fit.
pub const MAX_SERVER_MESSAGE_LEN: usize = 4096;

/// The longest client nonce, in bytes.
pub const MAX_NONCE_LEN: usize = 512;
