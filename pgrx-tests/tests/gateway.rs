//! The gateway of contrib/gateway: clients that others wrote log in through it, and it logs in to the server as them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use scram_ext_client_tests::foreign::{Foreign, Login};
use scram_ext_client_tests::{Cluster, docs, port, until};

/// A gateway program, stopped when dropped.
struct Gateway {
    port: u16,
    program: Child,
}

impl Gateway {
    fn start(cluster: &Cluster, certificate: Option<&str>) -> Self {
        let port = port::free();
        let root = docs::root();
        let mut command = Command::new(root.join("target/clients/python/bin/python"));
        command.arg(root.join("contrib/gateway/gateway.py")).arg(port.to_string());
        command.args(["127.0.0.1", &cluster.port().to_string()]).args(certificate);
        let dsn = format!(
            "postgresql://gateway@/postgres?host={}&port={}",
            cluster.dir().display(),
            cluster.port()
        );
        command.env("GATEWAY_DSN", dsn).stdin(Stdio::null());
        let program = command.spawn().expect("the gateway (make clients)");
        until("the gateway listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { port, program }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.program.kill().unwrap_or(());
        self.program.wait().map(|_| ()).unwrap_or(());
    }
}

/// The server asks for a password on its own port too: nothing trusts the gateway.
fn cluster() -> Cluster {
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
fn certificate(cluster: &Cluster) -> String {
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

#[test]
fn every_client_logs_in_with_and_without_channel_binding() {
    let cluster = cluster();
    let pem = certificate(&cluster);

    for tls in [false, true] {
        let gateway = Gateway::start(&cluster, tls.then_some(&pem));
        for client in Foreign::ALL.into_iter().filter(|client| !tls || client.has_tls()) {
            let login = |user, password| client.login(gateway.port, user, password, tls);
            let how = format!("{client:?}, TLS {tls}");
            assert_eq!(login("ann", "correct horse battery staple"), Login::In, "{how}");
            assert_eq!(login("ann", "wrong"), Login::Refused, "{how}: a wrong password");
            assert_eq!(login("nobody", "secret"), Login::Refused, "{how}: an unknown user");
        }
        let login = |user, password| Foreign::Psql.login(gateway.port, user, password, tls);
        assert_eq!(login("zoë, =x", "p,a=s=2C"), Login::In);
        assert_eq!(login("expired", "secret"), Login::Refused);
    }
    let log = cluster.log();
    assert!(log.contains("checked a password of role \"ann\" for \"gateway\""), "{log}");
}

/// A role is locked out at the gateway after so many failures from one address, also with the right password.
#[test]
fn failures_are_counted() {
    let cluster = cluster();
    let gateway = Gateway::start(&cluster, None);
    let login = |password| Foreign::RustPostgres.login(gateway.port, "ann", password, false);
    assert_eq!(login("correct horse battery staple"), Login::In);
    for _ in 0..20 {
        assert_eq!(login("wrong"), Login::Refused);
    }
    assert_eq!(login("correct horse battery staple"), Login::Refused);
    let other = Foreign::RustPostgres.login(gateway.port, "zoë, =x", "p,a=s=2C", false);
    assert_eq!(other, Login::In);
}

/// Clients that give up before they prove anything, as psql does when it asks for a password, lock no role out, and
/// a pool may open many connections at once.
#[test]
fn only_wrong_proofs_are_failures() {
    let cluster = cluster();
    let gateway = Gateway::start(&cluster, None);
    for _ in 0..25 {
        port::server_first(gateway.port, "ann");
    }
    let logins: Vec<_> = thread::scope(|scope| {
        let login = || {
            Foreign::RustPostgres.login(gateway.port, "ann", "correct horse battery staple", false)
        };
        let threads: Vec<_> = (0..25).map(|_| scope.spawn(login)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a login")).collect()
    });
    assert_eq!(logins, [Login::In; 25]);
}

/// A start-up packet that another party sends before TLS begins is not taken for one of the client's.
#[test]
fn nothing_is_injected_before_tls() {
    let cluster = cluster();
    let pem = certificate(&cluster);
    let gateway = Gateway::start(&cluster, Some(&pem));
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).expect("the gateway");
    let startup = b"\0\x03\0\0user\0ann\0\0";
    let mut sent = vec![0, 0, 0, 8, 4, 210, 22, 47, 0, 0, 0];
    sent.push(u8::try_from(startup.len() + 4).expect("a length"));
    sent.extend_from_slice(startup);
    stream.write_all(&sent).expect("sent");
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, *b"N");
}

#[test]
fn the_page_shows_the_program_which_is_short() {
    let program = fs::read_to_string(docs::root().join("contrib/gateway/gateway.py")).expect("it");
    assert!(program.lines().count() <= 150, "{} lines", program.lines().count());
    let shown = docs::block("docs/gateway.md", "python", "\"\"\"A gateway");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        let page = docs::read("docs/gateway.md").replace(&shown, &program);
        fs::write(docs::root().join("docs/gateway.md"), page).expect("the page");
    } else {
        assert_eq!(shown, program);
    }
}
