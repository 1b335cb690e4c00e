//! A throwaway PostgreSQL server.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output};

use postgres::{Client, Config, NoTls};
use tempfile::TempDir;

use crate::port::free as free_port;
use crate::{cell, until};
use process::{children, is_gone, kill};
use program::{Program, own};

mod builder;
mod pooler;
mod process;
pub(crate) mod program;

pub use builder::Builder;
pub use pooler::Pooler;

/// The superuser that initdb makes.
pub const SUPERUSER: &str = "postgres";

/// A throwaway server in a temporary folder: `scram-sha-256` on a free port of 127.0.0.1, `trust`
/// on its socket. It is stopped and removed when dropped, even by a panic. It also stops when the
/// test runner is killed.
#[derive(Debug)]
pub struct Cluster {
    dir: TempDir,
    port: u16,
    server: Option<Child>,
    address_space: Option<u64>,
    preload: Option<PathBuf>,
}

impl Cluster {
    /// A plain server.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A plain server whose database `postgres` has the extension.
    pub fn with_extension() -> Self {
        let cluster = Self::start();
        cluster.client().batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
        cluster
    }

    /// A hot standby of this server, whose pg_hba.conf must allow replication over its socket
    /// (`hba("local replication all trust")`). The standby has replayed everything that was
    /// committed before the call.
    pub fn standby(&self) -> Self {
        let dir = tempfile::Builder::new().prefix("scram_ext_test.").tempdir().expect("a folder");
        own(dir.path());
        let data = dir.path().join("data");
        let mut backup = Program::new("pg_basebackup");
        backup.args(["-R", "--no-sync", "-c", "fast", "-U", SUPERUSER, "-D"]).arg(&data);
        backup.arg("-h").arg(self.dir()).arg("-p").arg(self.port.to_string()).succeed();

        let file = data.join("postgresql.conf");
        let mut conf = fs::read_to_string(&file).expect("postgresql.conf");
        conf.push_str(&format!("unix_socket_directories = '{}'\n", dir.path().display()));
        fs::write(&file, conf).expect("postgresql.conf");
        let mut standby = Self {
            dir,
            port: free_port(),
            server: None,
            address_space: self.address_space,
            preload: None,
        };
        standby.start_server();

        let end = "SELECT pg_current_wal_lsn()::text";
        let end: String = self.client().query_one(end, &[]).expect("a position").get(0);
        let mut client = standby.client();
        until("the standby has replayed everything", || {
            let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
            client.query_one(&replayed, &[]).expect("a position").get::<_, bool>(0).then_some(())
        });
        standby
    }

    /// A server with settings of its own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The superuser's connection to `postgres`, over the socket.
    pub fn client(&self) -> Client {
        self.client_as(SUPERUSER, "postgres")
    }

    /// A connection over the socket, which trusts every user.
    pub fn client_as(&self, user: &str, database: &str) -> Client {
        let mut config = Config::new();
        config.host_path(self.dir.path()).port(self.port).user(user).dbname(database);
        config.connect(NoTls).unwrap_or_else(|error| panic!("{user} to {database}: {error}"))
    }

    /// A connection over TCP, which needs the password.
    ///
    /// # Errors
    ///
    /// The server's or the client's error.
    pub fn login(&self, user: &str, password: &[u8]) -> Result<Client, postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(user).dbname("postgres").password(password);
        config.connect(NoTls)
    }

    /// Logs in with `psql` as `user` over TCP and runs `sql`, so that libpq does the exchange. The
    /// password is passed as the bytes given.
    pub fn psql_login(&self, user: &str, password: &[u8], sql: &str) -> Output {
        let mut psql = Program::new("psql");
        psql.args(["-XqAtw", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", user, "-c", sql]);
        psql.arg("-p").arg(self.port.to_string()).arg("postgres");
        psql.env("PGPASSWORD", OsStr::from_bytes(password));
        psql.output()
    }

    /// Whether `psql` can log in: at a host's address, or through the socket if `host` is `None`.
    pub fn psql_opens(
        &self,
        host: Option<&str>,
        user: &str,
        database: &str,
        password: &str,
    ) -> bool {
        let mut psql = Program::new("psql");
        psql.args(["-XqAtw", "-c", "SELECT 1", "-U", user, "-d", database, "-h"]);
        match host {
            Some(host) => psql.arg(host),
            None => psql.arg(self.dir()),
        };
        psql.arg("-p").arg(self.port.to_string()).env("PGPASSWORD", OsStr::new(password));
        psql.output().status.success()
    }

    /// Logs in with `psql` by libpq's connection parameters, to which the port is added, and runs `sql`.
    pub fn psql_connect(
        &self,
        parameters: &[(&str, &str)],
        password: Option<&str>,
        sql: &str,
    ) -> Output {
        let mut connection = format!("port={}", self.port);
        for (name, value) in parameters {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            connection.push_str(&format!(" {name}='{value}'"));
        }
        let mut psql = Program::new("psql");
        psql.args(["-XqAtw", "-c", sql, "-d", &connection]);
        if let Some(password) = password {
            psql.env("PGPASSWORD", OsStr::new(password));
        }
        psql.output()
    }

    /// Has the server take other rules in place of its pg_hba.conf. Sessions that are open stay.
    pub fn reload_hba(&self, client: &mut Client, rules: &str) {
        fs::write(self.dir.path().join("data/pg_hba.conf"), rules).expect("pg_hba.conf");
        let reloads = |log: &str| log.matches("received SIGHUP").count();
        let before = reloads(&self.log());
        let loaded = cell(client, "SELECT pg_conf_load_time()");
        client.batch_execute("SELECT pg_reload_conf()").expect("a reload");
        // The postmaster takes no connection between this line and the end of its reload.
        until("the server reloads", || (reloads(&self.log()) > before).then_some(()));
        // The postmaster passes the signal on, and until it has come the session takes the file for one that is not loaded.
        until("the session reloads", || {
            (cell(client, "SELECT pg_conf_load_time()") != loaded).then_some(())
        });
    }

    /// The output of `psql` for a script that the superuser runs. `psql` splits it into statements,
    /// so that each is a transaction of its own. Must succeed.
    pub fn psql_script(&self, script: &str) -> String {
        let file = self.dir.path().join("script.sql");
        fs::write(&file, script).expect("the script");
        let mut psql = Program::new("psql");
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER, "-f"]).arg(&file);
        psql.arg("-h").arg(self.dir.path()).arg("-p").arg(self.port.to_string()).arg("postgres");
        psql.succeed()
    }

    /// Runs `psql` with these arguments as the superuser, over the socket.
    pub fn psql(&self, arguments: &[&str]) -> Output {
        let mut psql = Program::new("psql");
        psql.args(["-XqAt", "-U", SUPERUSER, "-h"]).arg(self.dir.path());
        psql.arg("-p").arg(self.port.to_string()).args(["-d", "postgres"]);
        for argument in arguments {
            psql.arg(argument);
        }
        psql.output()
    }

    /// The output of one of PostgreSQL's client programs, run as this role.
    ///
    /// # Errors
    ///
    /// The program's error output.
    pub fn run(&self, program: &str, user: &str, arguments: &[&str]) -> Result<String, String> {
        let mut run = Program::new(program);
        run.args(["-U", user, "-h"]).arg(self.dir.path()).arg("-p").arg(self.port.to_string());
        for argument in arguments {
            run.arg(argument);
        }
        let output = run.output();
        let printed = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(printed(&output.stdout))
        } else {
            Err(printed(&output.stderr))
        }
    }

    /// `pg_dump` of one database into a new one, which `template0` is the origin of; in the plain format,
    /// through psql, or in the custom one, through pg_restore. Returns the dump.
    pub fn copy_database(&self, from: &str, to: &str, custom: bool) -> Vec<u8> {
        let file = self.dir.path().join(format!("{to}.dump"));
        let connected = |name: &str| {
            let mut program = Program::new(name);
            program.args(["-U", SUPERUSER, "-h"]).arg(self.dir.path());
            program.arg("-p").arg(self.port.to_string());
            program
        };
        let format = if custom { "-Fc" } else { "-Fp" };
        connected("pg_dump").args([format, "-d", from, "-f"]).arg(&file).succeed();
        connected("createdb").args(["-T", "template0", to]).succeed();
        if custom {
            connected("pg_restore").args(["--exit-on-error", "-d", to]).arg(&file).succeed();
        } else {
            let psql = ["-Xq", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", to, "-f"];
            connected("psql").args(psql).arg(&file).succeed();
        }
        fs::read(&file).expect("the dump")
    }

    /// The folder with everything of this server; its socket too.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The TCP port on 127.0.0.1, and the socket's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything the server has logged since it was made.
    pub fn log(&self) -> String {
        let log = fs::read(self.log_file()).expect("the log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Stops the server in order and starts it again, with its port.
    pub fn restart(&mut self) {
        self.stop_server("fast");
        self.start_server();
    }

    /// Kills the server and all of its processes with SIGKILL and starts it again, as after a loss of
    /// power that the disks survive.
    pub fn crash(&mut self) {
        let mut server = self.server.take().expect("it runs");
        // The server's own first: it would start others for those that it loses.
        let processes = [vec![server.id()], children(server.id())].concat();
        processes.iter().for_each(|pid| kill(*pid));
        server.wait().expect("the server's end");
        until("its processes are gone", || processes.iter().all(|pid| is_gone(*pid)).then_some(()));
        self.start_server();
    }

    /// Kills one server process with SIGKILL. The server then ends all sessions; this waits until
    /// it has recovered. False if the process had ended before.
    pub fn kill_session(&self, pid: u32) -> bool {
        const RECOVERED: &str = "database system is ready to accept connections";
        let before = self.log().matches(RECOVERED).count();
        if is_gone(pid) {
            return false;
        }
        kill(pid);
        until("the server has recovered", || {
            (self.log().matches(RECOVERED).count() > before).then_some(())
        });
        true
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn start_server(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("the log");
        let mut server = match self.address_space {
            Some(bytes) => Program::within("postgres", bytes),
            None => Program::new("postgres"),
        };
        if let Some(library) = &self.preload {
            server.env("LD_PRELOAD", library.as_os_str());
        }
        server.arg("-D").arg(self.dir.path().join("data")).arg("-p").arg(self.port.to_string());
        self.server = Some(server.spawn_logging_to(log));

        until("the server accepts connections", || {
            let server = self.server.as_mut().expect("it was just started");
            if let Some(status) = server.try_wait().expect("the server's state") {
                panic!("the server did not start ({status}):\n{}", self.log());
            }
            let mut config = Config::new();
            config.host_path(self.dir.path()).port(self.port).user(SUPERUSER).dbname("postgres");
            config.connect(NoTls).ok()
        });
    }

    fn stop_server(&mut self, mode: &str) {
        let Some(mut server) = self.server.take() else { return };
        let data = self.dir.path().join("data");
        Program::new("pg_ctl").arg("-D").arg(data).args(["-m", mode, "-w", "stop"]).output();
        // If pg_ctl failed, this kills the server; otherwise the process has ended, and the call
        // has no effect.
        let _ = server.kill();
        let _ = server.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_server("immediate");
    }
}
