//! Section "Roles": set, rotate and check passwords of the cluster's roles, and write none to any log.

mod alter;
mod check;
mod lifetime;
pub(crate) mod password;
mod permission;
pub(crate) mod rotation;
