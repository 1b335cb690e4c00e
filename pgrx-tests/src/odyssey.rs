//! Odyssey in front of a cluster, out of Debian's package, which is unpacked and not installed.

use std::fs::{self, File};
use std::net::TcpStream;

use tempfile::TempDir;

use crate::cluster::program::{Program, Running};
use crate::port::free as free_port;
use crate::unpacked::{self, libraries};
use crate::{Cluster, until};

/// A running Odyssey; stopped and removed when dropped.
#[derive(Debug)]
pub struct Odyssey {
    /// Dropped before the folder.
    _program: Running,
    // Removed with all files when dropped.
    _dir: TempDir,
    port: u16,
}

impl Odyssey {
    /// Starts it on 127.0.0.1. For each login it asks the server for the user's verifier, as role `auth_user` with this
    /// password, and it logs in to the server with the keys of the client's login. It closes a server connection that
    /// has been idle for two seconds.
    pub fn with_auth_query(cluster: &Cluster, auth_user: &str, password: &str) -> Self {
        let dir = unpacked::copy("odyssey");
        let port = free_port();
        let settings = format!(
            "daemonize no
             log_format \"%t %l (%c) %m\\n\"
             log_to_stdout yes
             workers 1
             listen {{ host \"127.0.0.1\" port {port} }}
             storage \"server\" {{ type \"remote\" host \"127.0.0.1\" port {server} }}
             database \"postgres\" {{
                 user \"{auth_user}\" {{
                     authentication \"none\"
                     pool_routing \"internal\"
                     storage \"server\"
                     storage_user \"{auth_user}\"
                     storage_password \"{password}\"
                     pool \"transaction\"
                     pool_ttl 2
                 }}
                 user default {{
                     authentication \"scram-sha-256\"
                     auth_query \"SELECT usename, passwd FROM pg_shadow WHERE usename = $1\"
                     auth_query_db \"postgres\"
                     auth_query_user \"{auth_user}\"
                     storage \"server\"
                     pool \"transaction\"
                     pool_ttl 2
                 }}
             }}\n",
            server = cluster.port(),
        );
        let file = dir.path().join("odyssey.conf");
        fs::write(&file, settings).expect("odyssey.conf");
        let usr = dir.path().join("usr");
        // Its own release's loader and libraries, which are newer than this system's.
        let loader = libraries(&usr).join("ld-linux-x86-64.so.2");
        let mut program = Program::new(&loader.display().to_string());
        program.arg("--library-path").arg(libraries(&usr)).arg(usr.join("bin/odyssey")).arg(file);
        let log = File::create(dir.path().join("log")).expect("a log");
        let program = Running::new(program.spawn_logging_to(log));
        until("Odyssey listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _program: program, _dir: dir, port }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
