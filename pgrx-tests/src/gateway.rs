//! The gateways of contrib/gateway, and what a client sends to one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::cluster::program::Running;
use crate::{Cluster, docs, port, until};

/// A gateway's program. Each test runs with all of them.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// gateway.py.
    Python,
    /// The program in Rust.
    Rust,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Python, Self::Rust];

    fn command(self) -> Command {
        match self {
            Self::Python => {
                let mut command =
                    Command::new(docs::root().join("target/clients/python/bin/python"));
                command.arg(docs::root().join("contrib/gateway/gateway.py"));
                command
            }
            Self::Rust => Command::new(built()),
        }
    }
}

/// The program in Rust. cargo builds no binary of another package for a test, so this does.
fn built() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "-p",
            "scram-gateway",
            "--quiet",
            "--message-format=json-render-diagnostics",
        ]);
        let output =
            cargo.current_dir(docs::root()).stderr(Stdio::inherit()).output().expect("cargo");
        assert!(output.status.success(), "scram-gateway is not built");
        let messages = String::from_utf8(output.stdout).expect("UTF-8");
        let message =
            messages.lines().find(|line| line.contains("\"executable\":\"")).expect("a program");
        let message: serde_json::Value = serde_json::from_str(message).expect("JSON");
        PathBuf::from(message["executable"].as_str().expect("a path"))
    };
    BUILT.get_or_init(build).clone()
}

/// A running gateway, stopped when dropped.
pub struct Gateway {
    /// Its port.
    pub port: u16,
    program: Running,
}

impl Gateway {
    /// Starts it in front of this cluster.
    pub fn start(program: Program, cluster: &Cluster, certificate: Option<&str>) -> Self {
        let port = port::free();
        let mut command = program.command();
        command.arg(port.to_string());
        command.args(["127.0.0.1", &cluster.port().to_string()]).args(certificate);
        let dsn = format!(
            "postgresql://gateway@/postgres?host={}&port={}",
            cluster.dir().display(),
            cluster.port()
        );
        command.env("GATEWAY_DSN", dsn).stdin(Stdio::null());
        let program = command.spawn().expect("the gateway (make clients)");
        until("the gateway listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { port, program: Running::new(program) }
    }
}

impl Gateway {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.id()
    }
}

/// The server asks for a password on its own port too: nothing trusts the gateway.
pub fn cluster() -> Cluster {
    let cluster = Cluster::with_extension();
    let roles = "CREATE ROLE gateway LOGIN;
        GRANT EXECUTE ON FUNCTION scram.role_handshake_start, scram.role_handshake_finish_passthrough TO gateway;
        CREATE ROLE ann LOGIN PASSWORD 'correct horse battery staple';
        CREATE ROLE \"zoë, =x\" LOGIN PASSWORD 'p,a=s=2C';
        CREATE ROLE expired LOGIN PASSWORD 'secret' VALID UNTIL '2020-01-01'";
    cluster.client().batch_execute(roles).expect("roles");
    cluster
}

/// A certificate and its key in one file.
pub fn certificate(cluster: &Cluster) -> String {
    let pem = cluster.dir().join("gateway.pem").display().to_string();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-sha256"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout", &pem, "-out", &format!("{pem}.crt")])
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl").success());
    let both = fs::read_to_string(&pem).expect("a key")
        + &fs::read_to_string(format!("{pem}.crt")).expect("a certificate");
    fs::write(&pem, both).expect("both");
    pem
}

/// The body of a start-up packet.
pub const STARTUP: &[u8] = b"\0\x03\0\0user\0ann\0\0";

/// A message of this kind; a start-up packet has none.
pub fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [kind, &length, body].concat()
}

/// All that the gateway answers until it closes the connection, or waits for more.
pub fn answer(port: u16, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the gateway");
    stream.set_read_timeout(Some(Duration::from_secs(3))).expect("a limit");
    stream.write_all(sent).expect("sent");
    let mut answer = Vec::new();
    // A gateway that closes without having read everything resets the connection.
    let _ = stream.read_to_end(&mut answer);
    answer
}
