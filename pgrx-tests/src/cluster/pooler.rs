//! PgBouncer in front of a cluster, in transaction mode: two statements may run in different
//! sessions.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::program::{Program, Running, own};
use super::{Cluster, SUPERUSER};
use crate::until;

/// A running PgBouncer; stopped and removed when dropped.
#[derive(Debug)]
pub struct Pooler {
    /// Dropped before the folder.
    _program: Running,
    dir: TempDir,
    port: u16,
}

impl Pooler {
    /// Starts a pooler that trusts every user on its socket and opens sessions of this role.
    pub fn start(cluster: &Cluster, role: &str) -> Self {
        let database =
            format!("host={} port={} user={role}", cluster.dir().display(), cluster.port());
        Self::with_settings(&database, "auth_type = any\ndefault_pool_size = 3\n", &[])
    }

    /// Starts a pooler on TCP. For each login it asks the server for the user's verifier, as role
    /// `auth_user` with this password. It passes the login on, so that neither of them knows the
    /// user's password. The superuser may use its console, database `pgbouncer`, with the password
    /// of `auth_user` too.
    pub fn with_auth_query(cluster: &Cluster, auth_user: &str, password: &str) -> Self {
        let database = format!("host=127.0.0.1 port={}", cluster.port());
        let settings = format!(
            "auth_type = scram-sha-256\n\
             auth_user = {auth_user}\n\
             auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1\n\
             auth_file = {{dir}}/users\n\
             admin_users = {SUPERUSER}\n\
             query_wait_timeout = 10\n\
             server_login_retry = 1\n\
             listen_addr = 127.0.0.1\n"
        );
        Self::with_settings(&database, &settings, &[(auth_user, password), (SUPERUSER, password)])
    }

    /// Starts a pooler on TCP with this file of users. It logs in to the server with the keys of the
    /// client's login.
    pub fn with_users(cluster: &Cluster, users: &str) -> Self {
        let database = format!("host=127.0.0.1 port={}", cluster.port());
        let settings = "auth_type = scram-sha-256\n\
                        auth_file = {dir}/users\n\
                        query_wait_timeout = 10\n\
                        server_login_retry = 1\n\
                        listen_addr = 127.0.0.1\n";
        Self::with_file(&database, settings, users)
    }

    fn with_settings(database: &str, settings: &str, users: &[(&str, &str)]) -> Self {
        let users: String =
            users.iter().map(|(user, secret)| format!("\"{user}\" \"{secret}\"\n")).collect();
        Self::with_file(database, settings, &users)
    }

    fn with_file(database: &str, settings: &str, users: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("scram_ext_pooler.").tempdir().expect("a folder");
        own(dir.path());
        let port = super::free_port();
        let settings = settings.replace("{dir}", &dir.path().display().to_string());
        let settings = format!(
            "[databases]\n\
             postgres = {database}\n\
             [pgbouncer]\n\
             pool_mode = transaction\n\
             {settings}\
             listen_port = {port}\n\
             unix_socket_dir = {}\n",
            dir.path().display(),
        );
        fs::write(dir.path().join("users"), users).expect("the users");
        let file = dir.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("pgbouncer.ini");
        let log = File::create(dir.path().join("log")).expect("the log");
        let program = Program::new("/usr/sbin/pgbouncer").arg(&file).spawn_logging_to(log);
        let pooler = Self { _program: Running::new(program), dir, port };
        until("the pooler accepts connections", || UnixStream::connect(pooler.socket()).ok());
        pooler
    }

    /// The folder of its socket.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn socket(&self) -> PathBuf {
        self.dir().join(format!(".s.PGSQL.{}", self.port))
    }

    /// The number in its socket's name; its port on 127.0.0.1, if it listens there.
    pub fn port(&self) -> u16 {
        self.port
    }
}
