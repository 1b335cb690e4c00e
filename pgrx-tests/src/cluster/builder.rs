//! Settings of a server before its start.

use std::fs;
use std::path::{Path, PathBuf};

use super::program::{Program, own};
use super::{Cluster, SUPERUSER};
use crate::port::free as free_port;
use crate::repeat;

/// How a [`Cluster`] differs from the plain one.
#[derive(Debug, Default)]
pub struct Builder {
    conf: Vec<String>,
    hba: Vec<String>,
    address_space: Option<u64>,
    preload: Option<PathBuf>,
}

impl Builder {
    /// Adds a line to postgresql.conf.
    #[must_use]
    pub fn conf(mut self, line: &str) -> Self {
        self.conf.push(line.to_owned());
        self
    }

    /// Adds a line to pg_hba.conf, above those that are there.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// Limits the address space of each of the server's processes, in bytes, because container
    /// hosts do so too.
    #[must_use]
    pub fn address_space(mut self, bytes: u64) -> Self {
        self.address_space = Some(bytes);
        self
    }

    /// Loads a library into each of the server's processes before the C library, whose functions it can replace.
    #[must_use]
    pub fn preload(mut self, library: &Path) -> Self {
        self.preload = Some(library.to_owned());
        self
    }

    /// Makes and starts the server.
    pub fn start(self) -> Cluster {
        repeat::print_command_on_panic();
        let dir = tempfile::Builder::new().prefix("scram_ext_test.").tempdir().expect("a folder");
        own(dir.path());
        let data = dir.path().join("data");

        Program::new("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .succeed();

        let mut conf = fs::read_to_string(data.join("postgresql.conf")).expect("postgresql.conf");
        for line in [
            "fsync = off",
            "listen_addresses = '127.0.0.1'",
            &format!("unix_socket_directories = '{}'", dir.path().display()),
            "log_line_prefix = '%p %u@%d '",
            // Tests count the words that they add.
            "scram.builtin_words = 0",
        ]
        .into_iter()
        .chain(self.conf.iter().map(String::as_str))
        {
            conf.push_str(line);
            conf.push('\n');
        }
        fs::write(data.join("postgresql.conf"), conf).expect("postgresql.conf");

        let mut hba = self.hba;
        hba.push("local all all trust".to_owned());
        hba.push("host all all 127.0.0.1/32 scram-sha-256".to_owned());
        fs::write(data.join("pg_hba.conf"), hba.join("\n") + "\n").expect("pg_hba.conf");

        let mut cluster = Cluster {
            dir,
            port: free_port(),
            server: None,
            address_space: self.address_space,
            preload: self.preload,
        };
        cluster.start_server();
        cluster
    }
}
