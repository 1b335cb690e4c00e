//! Called by the test framework before the first test; it looks for this module by name.

/// Nothing to set up before the server starts.
pub fn setup(_options: Vec<&str>) {}

/// Lines of the test server's postgresql.conf.
#[must_use]
pub fn postgresql_conf_options() -> Vec<&'static str> {
    vec![]
}
