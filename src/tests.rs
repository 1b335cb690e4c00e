//! What one superuser's session sees in one transaction: types, NULLs, labels, settings. What needs a
//! client, a login or another session is in the crate `pgrx-tests/`.

mod audit;
mod engine;
mod saslprep;
