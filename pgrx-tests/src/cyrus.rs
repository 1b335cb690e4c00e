//! Cyrus SASL, with which Postfix, OpenLDAP and Cyrus IMAP log their users in: its own sample server, out of Debian's
//! packages, which are unpacked and not installed.

use std::fs;

use tempfile::TempDir;

use crate::foreign::{Login, python, run};

/// Settings under which it reads users from a server.
#[derive(Debug)]
pub struct Cyrus(TempDir);

impl Cyrus {
    /// With these settings.
    pub fn new(settings: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("scram_ext_cyrus.").tempdir().expect("a folder");
        fs::write(dir.path().join("sample.conf"), settings).expect("sample.conf");
        Self(dir)
    }

    /// Logs in with this mechanism. Panics if anything but the server's refusal is in the way.
    pub fn login(&self, user: &str, password: &str, mechanism: &str) -> Login {
        let mut command = python("cyrus_login.py");
        command.arg(self.0.path()).args([user, mechanism]);
        run(command.env("PASSWORD", password))
    }
}
