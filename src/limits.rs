//! Bounds of arguments. The extension compares the length of an argument with its bound before it copies
//! the argument, because Rust ends the server process when an allocation fails.

/// The longest password that is prepared, in bytes. The extension copies no longer text for any
/// purpose.
pub(crate) const MAX_PASSWORD_LEN: usize = 1024 * 1024;

/// The longest stored secret that is read, in bytes. No known form of a secret is nearly as long.
pub(crate) const MAX_SECRET_LEN: usize = 64 * 1024;
