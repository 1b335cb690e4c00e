//! Tests inside one superuser's session and one transaction: types, NULLs, labels, settings. Tests
//! that need a client, a login or another session are in the crate `pgrx-tests/`.

mod audit;
mod engine;
mod saslprep;
