//! PgBouncer in front of a cluster, in transaction mode: no two statements need share a session.

use std::fs::{self, File};
use std::path::Path;
use std::process::Child;

use postgres::{Config, NoTls};
use tempfile::TempDir;

use super::program::{Program, own};
use super::{Cluster, SUPERUSER};
use crate::until;

/// A running PgBouncer; stopped and removed when dropped.
#[derive(Debug)]
pub struct Pooler {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Pooler {
    /// Starts one that lets anybody in over its socket and opens sessions of this role.
    pub fn start(cluster: &Cluster, role: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("scram_ext_pooler.").tempdir().expect("a folder");
        own(dir.path());
        let port = super::free_port();
        let settings = format!(
            "[databases]\n\
             postgres = host={} port={} user={role}\n\
             [pgbouncer]\n\
             pool_mode = transaction\n\
             auth_type = any\n\
             default_pool_size = 3\n\
             listen_port = {port}\n\
             unix_socket_dir = {}\n",
            cluster.dir().display(),
            cluster.port(),
            dir.path().display(),
        );
        let file = dir.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("pgbouncer.ini");
        let log = File::create(dir.path().join("log")).expect("the log");
        let child = Program::new("/usr/sbin/pgbouncer").arg(&file).spawn_logging_to(log);
        let pooler = Self { dir, port, child };
        until("the pooler accepts connections", || {
            let mut config = Config::new();
            config.host_path(pooler.dir()).port(port).user(SUPERUSER).dbname("postgres");
            config.connect(NoTls).ok()
        });
        pooler
    }

    /// The folder of its socket.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The number in its socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
