//! What a client, a certificate or a server without an answer may cost a gateway of contrib/gateway.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use scram_ext_client_tests::foreign::{Foreign, Login};
use scram_ext_client_tests::gateway::{Gateway, Program, STARTUP, answer, cluster, message};
use scram_ext_client_tests::until;

/// The server cuts long names, and each of those that mean one role would have failures of its own.
#[test]
fn a_name_with_more_bytes_than_a_role_is_refused() {
    let cluster = cluster();
    let name = "n".repeat(63);
    let role = format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'");
    cluster.client().batch_execute(&role).expect("a role");
    for program in Program::ALL {
        let gateway = Gateway::start(program, &cluster, None);
        let login = |user: &str| Foreign::Psql.login(gateway.port, user, "secret", false);
        assert_eq!(login(&name), Login::In, "{program:?}");
        assert_eq!(login(&format!("{name}x")), Login::Refused, "{program:?}");
    }
}

/// A client may know the root alone: the gateway sends the certificate of the authority between.
#[test]
fn the_certificate_comes_with_its_chain() {
    let cluster = cluster();
    let dir = cluster.dir().display().to_string();
    let made = Command::new("sh")
        .args(["-ec", CHAIN, "sh", &dir])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl").success());
    for program in Program::ALL {
        let gateway = Gateway::start(program, &cluster, Some(&format!("{dir}/chain.pem")));
        let target = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=ann dbname=postgres sslmode=verify-full
             sslrootcert={dir}/root.crt channel_binding=require",
            gateway.port
        );
        let psql = Command::new("psql")
            .args(["-XAtwc", "SELECT 42", &target])
            .env("PGPASSWORD", "correct horse battery staple")
            .output()
            .expect("psql");
        let error = String::from_utf8_lossy(&psql.stderr);
        assert_eq!(psql.stdout, b"42\n", "{program:?}: {error}");
    }
}

/// A root, an authority below it, and the gateway's certificate.
const CHAIN: &str = "cd \"$1\"
    new() { openssl req -newkey rsa:2048 -nodes -sha256 -subj \"/CN=$1\" -keyout $1.key -out $1.csr; }
    sign() { openssl x509 -req -sha256 -days 2 -in $1.csr -CA $2.crt -CAkey $2.key -CAcreateserial -extfile $1.ext -out $1.crt; }
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -sha256 -subj /CN=root -keyout root.key -out root.crt
    echo basicConstraints=critical,CA:TRUE >middle.ext
    echo subjectAltName=DNS:localhost >leaf.ext
    new middle; sign middle root; new leaf; sign leaf middle
    cat leaf.key leaf.crt middle.crt >chain.pem";

/// A client that has vanished says nothing; its session ends when the server ends it.
#[test]
fn a_session_that_the_server_ends_is_closed() {
    let cluster = cluster();
    for program in Program::ALL {
        let gateway = Gateway::start(program, &cluster, None);
        let files = format!("/proc/{}/fd", gateway.pid());
        let sockets = || {
            let files = fs::read_dir(&files).expect("its files").flatten();
            let links = files.filter_map(|file| fs::read_link(file.path()).ok());
            links.filter(|link| link.display().to_string().starts_with("socket")).count()
        };
        // What is left of the check that the gateway listens goes first, and the calls may open connections.
        let login =
            || Foreign::Psql.login(gateway.port, "ann", "correct horse battery staple", false);
        assert_eq!(login(), Login::In);
        thread::sleep(Duration::from_secs(1));
        let before = sockets();

        let mut vanished = Command::new("psql")
            .args(["-XAtwc", "SELECT pg_sleep(600)"])
            .arg(format!("host=127.0.0.1 port={} user=ann dbname=postgres", gateway.port))
            .env("PGPASSWORD", "correct horse battery staple")
            .stderr(Stdio::null())
            .spawn()
            .expect("psql");
        until("it sleeps", || (sockets() == before + 2).then_some(()));
        let stopped = Command::new("kill").args(["-STOP", &vanished.id().to_string()]).status();
        assert!(stopped.expect("kill").success());
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'";
        until("the server ends it", || {
            let ended = !cluster.client().query(end, &[]).expect("sessions").is_empty();
            (ended || sockets() == before).then_some(())
        });
        until("the gateway closes it", || (sockets() == before).then_some(()));
        vanished.kill().expect("psql ends");
        vanished.wait().expect("psql ended");
    }
}

/// A call that the server does not answer costs the logins that wait for it, and none after them.
#[test]
fn a_call_without_an_answer_stops_no_later_login() {
    thread::scope(|scope| {
        for program in Program::ALL {
            scope.spawn(move || {
                let cluster = cluster();
                let gateway = Gateway::start(program, &cluster, None);
                let backends = "SELECT pid FROM pg_stat_activity WHERE usename = 'gateway'";
                let login = || {
                    Foreign::Psql.login(gateway.port, "ann", "correct horse battery staple", false)
                };
                assert_eq!(login(), Login::In);
                for backend in cluster.client().query(backends, &[]).expect("backends") {
                    let pid: i32 = backend.get(0);
                    let stopped = Command::new("kill").args(["-STOP", &pid.to_string()]).status();
                    assert!(stopped.expect("kill").success());
                }
                answer(gateway.port, &waiting());
                thread::sleep(Duration::from_secs(60));
                assert_eq!(login(), Login::In, "{program:?}");
            });
        }
    });
}

/// What a client sends that then waits for the first call.
fn waiting() -> Vec<u8> {
    let first = b"SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc";
    [message(b"", STARTUP), message(b"p", first)].concat()
}
