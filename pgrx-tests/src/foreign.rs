//! Clients that others wrote, each as the little program of `pgrx-tests/clients`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use postgres::{Config, NoTls};

use crate::cluster::program::Running;
use crate::port::free as free_port;
use crate::{Cluster, until};

/// How a login ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Login {
    /// The client got its answer to a query.
    In,
    /// The server refused the user.
    Refused,
}

/// A client that can log in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Foreign {
    /// asyncpg.
    Asyncpg,
    /// pgjdbc.
    Jdbc,
    /// node-pg.
    Node,
    /// pg8000, by scramp.
    Pg8000,
    /// psql, by the system's libpq.
    Psql,
    /// psycopg, by the libpq of its wheel.
    Psycopg,
    /// rust-postgres.
    RustPostgres,
}

impl Foreign {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Asyncpg,
        Self::Jdbc,
        Self::Node,
        Self::Pg8000,
        Self::Psql,
        Self::Psycopg,
        Self::RustPostgres,
    ];

    /// Whether it is built with TLS here.
    pub fn has_tls(self) -> bool {
        self != Self::RustPostgres
    }

    /// Logs in on 127.0.0.1 and asks a question. Panics if anything but the server's refusal is in
    /// the way.
    pub fn login(self, port: u16, user: &str, password: &str, tls: bool) -> Login {
        let mut command = match self {
            Self::RustPostgres => return rust_postgres(port, user, password),
            Self::Psql => return psql(port, user, password, tls),
            Self::Asyncpg => python("asyncpg_login.py"),
            Self::Pg8000 => python("pg8000_login.py"),
            Self::Psycopg => python("psycopg_login.py"),
            Self::Node => node("node_login.js"),
            Self::Jdbc => jdbc(),
        };
        command.arg(port.to_string()).args([user, if tls { "tls" } else { "plain" }]);
        run(command.env("PASSWORD", password))
    }
}

/// scramp against the two SQL calls, without a wire.
pub fn scramp(
    socket: (&std::path::Path, u16),
    mechanism: &str,
    user: &str,
    password: &str,
    binding: &str,
) -> Login {
    let mut command = python("scramp_exchange.py");
    command.arg(socket.0).arg(socket.1.to_string());
    command.args([mechanism, user, binding]).env("PASSWORD", password);
    run(&mut command)
}

/// libpq 18 with keys in Base64 and without a password.
pub fn libpq_with_keys(port: u16, user: &str, client_key: &str, server_key: &str) -> Login {
    let mut command = python("libpq_keys.py");
    command.arg(port.to_string()).arg(user);
    command.env("CLIENT_KEY", client_key).env("SERVER_KEY", server_key).env_remove("PGPASSWORD");
    run(&mut command)
}

/// Runs statements in a new database of SQLite, then a query; its rows with `|` between the columns.
pub fn sqlite(statements: &str, query: &str) -> Vec<String> {
    let mut command = python("run_sqlite.py");
    command.arg(query).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{error} (make clients)"));
    child.stdin.take().expect("its input").write_all(statements.as_bytes()).expect("statements");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "SQLite refuses:\n{statements}");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(str::to_owned).collect()
}

/// The samples that Prometheus' own parser reads in a page of metrics: name, labels and value of
/// each.
pub fn metrics(text: &str) -> Vec<(String, String, f64)> {
    let mut command = python("read_metrics.py");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{error} (make clients)"));
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("the metrics");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "not valid:\n{text}");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let sample = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut field = || fields.next().expect("three fields");
        (field(), field(), field().parse().expect("a number"))
    };
    lines.lines().map(sample).collect()
}

/// A credential that Kafka's classes make of a password.
pub fn kafka_credential(mechanism: &str, password: &str, iterations: u32) -> String {
    stdout(kafka(password).args(["make", mechanism, &iterations.to_string()]))
}

/// Whether Kafka's classes take a credential for one of this password.
pub fn kafka_accepts(mechanism: &str, password: &str, credential: &str) -> Login {
    run(kafka(password).args(["check", mechanism, credential]))
}

fn kafka(password: &str) -> Command {
    let kafka = target().join("kafka");
    let jar = kafka.join("_atoti_server_kafka/__resources__/plugin.jar");
    let mut command = Command::new("java");
    command.arg("-cp").arg(format!("{}:{}", kafka.display(), jar.display())).arg("KafkaCredential");
    command.env("PASSWORD", password);
    command
}

/// A password that Dovecot stores, in this scheme.
pub fn dovecot_password(scheme: &str, password: &str) -> String {
    stdout(Command::new("doveadm").args(["-O", "pw", "-s", scheme, "-p", password]))
}

/// Whether Dovecot takes a stored text for one of this password.
pub fn dovecot_accepts(stored: &str, password: &str) -> bool {
    let mut command = Command::new("doveadm");
    command.args(["-O", "pw", "-t", stored, "-p", password]).stdin(Stdio::null());
    command.output().expect("doveadm (make clients)").status.success()
}

/// A login at an XMPP server, by scramp.
pub fn xmpp(port: u16, host: &str, user: &str, mechanism: &str, password: &str) -> Login {
    let mut command = python("xmpp_login.py");
    command.arg(port.to_string()).args([host, user, mechanism]);
    run(command.env("PASSWORD", password))
}

/// Runs Prometheus' `promtool` in a folder; it must succeed. Returns what it says.
pub fn promtool(folder: &Path, arguments: &[&str]) -> String {
    let mut promtool = Command::new(target().join("promtool/promtool"));
    stdout(promtool.current_dir(folder).args(arguments))
}

/// A running exporter of metrics for Prometheus; it ends when dropped.
#[derive(Debug)]
pub struct Exporter {
    _program: Running,
    port: u16,
}

impl Exporter {
    /// postgres_exporter with queries from this file and none of its own.
    pub fn postgres(cluster: &Cluster, role: &str, queries: &Path) -> Self {
        let port = free_port();
        let place = cluster.dir().display();
        let source = format!(
            "host={place} port={} user={role} dbname=postgres sslmode=disable",
            cluster.port()
        );
        Self::start("prometheus-postgres-exporter", port, |command| {
            command
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg(format!("--extend.query-path={}", queries.display()))
                .args(["--disable-default-metrics", "--disable-settings-metrics"])
                .env("DATA_SOURCE_NAME", source)
        })
    }

    /// The sql_exporter of Debian, with this configuration.
    pub fn sql(configuration: &Path) -> Self {
        let port = free_port();
        Self::start("prometheus-sql-exporter", port, |command| {
            command
                .args(["-web.listen-address", &format!("127.0.0.1:{port}"), "-config.file"])
                .arg(configuration)
        })
    }

    fn start(program: &str, port: u16, set: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new(target().join("exporters").join(program));
        set(&mut command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{program}: {error} (make clients)"));
        Self { _program: Running::new(child), port }
    }

    /// The metrics of the extension that it tells now; waits until each of its queries has run.
    pub fn metrics(&self) -> Vec<String> {
        until("the exporter tells metrics", || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
            let mut page = String::new();
            stream.read_to_string(&mut page).ok()?;
            let told =
                page.lines().filter(|line| !line.starts_with('#') && line.contains("scram_audit"));
            let told: Vec<_> = told.map(str::to_owned).collect();
            let has = |name: &str| told.iter().any(|line| line.contains(name));
            (has("open_findings") && has("next_expiry")).then_some(told)
        })
    }
}

/// The output of a program, without the newline.
pub(crate) fn stdout(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error} (make clients)"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
}

/// Exit status 0 is a login, 1 a refusal; anything else is a defect of the test.
pub(crate) fn run(command: &mut Command) -> Login {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error} (make clients)"));
    match output.status.code() {
        Some(0) => Login::In,
        Some(1) if output.stderr.is_empty() => Login::Refused,
        status => panic!("{command:?}: {status:?}\n{}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn psql(port: u16, user: &str, password: &str, tls: bool) -> Login {
    // Over TLS libpq insists on channel binding: without it the login fails.
    let options = if tls { "sslmode=require channel_binding=require" } else { "sslmode=disable" };
    let mut command = Command::new("psql");
    command.arg("-XAtwc").arg("SELECT 42");
    command.arg(format!("host=127.0.0.1 port={port} dbname=postgres {options}"));
    command.env("PGUSER", user).env("PGPASSWORD", password).stdin(Stdio::null());
    let output = command.output().expect("psql");
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        assert_eq!(output.stdout, b"42\n");
        return Login::In;
    }
    let refused = stderr.contains("password authentication failed")
        || stderr.contains("not permitted to log in");
    assert!(refused, "psql as {user}: {stderr}");
    Login::Refused
}

fn rust_postgres(port: u16, user: &str, password: &str) -> Login {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user(user).password(password).dbname("postgres");
    match config.connect(NoTls) {
        Ok(mut client) => {
            let answer: i32 = client.query_one("SELECT 42", &[]).expect("an answer").get(0);
            assert_eq!(answer, 42);
            Login::In
        }
        Err(error) => {
            let code = error.as_db_error().map(|error| error.code().code());
            assert!(matches!(code, Some("28P01" | "28000")), "{user}: {error}");
            Login::Refused
        }
    }
}

/// A script of the folder of clients, by the Python that has the packages.
pub(crate) fn python(name: &str) -> Command {
    let mut command = Command::new(target().join("python/bin/python"));
    command.arg(script(name));
    command
}

/// The same by Node.
pub(crate) fn node(name: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(script(name)).env("NODE_PATH", target().join("node/node_modules"));
    command
}

fn jdbc() -> Command {
    let mut command = Command::new("java");
    let classes = format!("{}:/usr/share/java/postgresql.jar", target().join("jdbc").display());
    command.arg("-cp").arg(classes).arg("JdbcLogin");
    command
}

fn script(name: &str) -> String {
    format!("{}/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The folder in which `tools/clients.sh` installs the programs' packages.
fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/clients")
}
