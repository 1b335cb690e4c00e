//! The gateways of contrib/gateway: clients that others wrote log in through each, and it logs in to the server as them.

use std::fs;
use std::thread;

use scram_ext_client_tests::foreign::{Foreign, Login};
use scram_ext_client_tests::gateway::{
    Gateway, Program, STARTUP, answer, certificate, cluster, message,
};
use scram_ext_client_tests::{docs, port};

#[test]
fn every_client_logs_in_with_and_without_channel_binding() {
    let cluster = cluster();
    let pem = certificate(&cluster);

    for (program, tls) in
        Program::ALL.into_iter().flat_map(|program| [(program, false), (program, true)])
    {
        let gateway = Gateway::start(program, &cluster, tls.then_some(&pem));
        for client in Foreign::ALL.into_iter().filter(|client| !tls || client.has_tls()) {
            let login = |user, password| client.login(gateway.port, user, password, tls);
            let how = format!("{program:?}, {client:?}, TLS {tls}");
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
    for program in Program::ALL {
        let gateway = Gateway::start(program, &cluster, None);
        let login = |password| Foreign::RustPostgres.login(gateway.port, "ann", password, false);
        assert_eq!(login("correct horse battery staple"), Login::In);
        for _ in 0..20 {
            assert_eq!(login("wrong"), Login::Refused);
        }
        assert_eq!(login("correct horse battery staple"), Login::Refused);
        let other = Foreign::RustPostgres.login(gateway.port, "zoë, =x", "p,a=s=2C", false);
        assert_eq!(other, Login::In);
    }
}

/// Clients that give up before they prove anything, as psql does when it asks for a password, lock no role out, and
/// a pool may open many connections at once.
#[test]
fn only_wrong_proofs_are_failures() {
    let cluster = cluster();
    for program in Program::ALL {
        let gateway = Gateway::start(program, &cluster, None);
        for _ in 0..25 {
            port::server_first(gateway.port, "ann");
        }
        let logins: Vec<_> = thread::scope(|scope| {
            let login = || {
                Foreign::RustPostgres.login(
                    gateway.port,
                    "ann",
                    "correct horse battery staple",
                    false,
                )
            };
            let threads: Vec<_> = (0..25).map(|_| scope.spawn(login)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a login")).collect()
        });
        assert_eq!(logins, [Login::In; 25], "{program:?}");
    }
}

/// Neither a message that is too long nor one that makes no sense has an error of its own.
#[test]
fn every_refusal_looks_the_same() {
    let cluster = cluster();
    for program in Program::ALL {
        let gateway = Gateway::start(program, &cluster, None);
        let initial = |mechanism: &[u8], client_first: &[u8]| {
            let length = u32::try_from(client_first.len()).expect("short").to_be_bytes();
            message(b"p", &[mechanism, b"\0", &length, client_first].concat())
        };
        let plausible = initial(b"SCRAM-SHA-256", b"n,,n=,r=abc");
        for (case, sent) in [
            ("too long", message(b"p", &[b'x'; 10_000])),
            ("shorter than its length", b"p\0\0\0\x03".to_vec()),
            ("another kind", message(b"Q", b"SELECT 1\0")),
            ("an unknown mechanism", initial(b"SCRAM-SHA-1", b"n,,n=,r=abc")),
            (
                "channel binding without TLS",
                initial(b"SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc"),
            ),
            ("no UTF-8", initial(b"SCRAM-SHA-256", b"n,,n=,r=\xFF")),
            ("no end of the mechanism", message(b"p", b"SCRAM-SHA-256")),
            ("a proof of nothing", [plausible, message(b"p", b"c=biws,r=abc,p=")].concat()),
        ] {
            let answer = answer(gateway.port, &[&message(b"", STARTUP)[..], &sent].concat());
            let expected =
                b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"ann\"\0\0";
            assert!(
                answer.ends_with(&message(b"E", expected)),
                "{program:?}, {case}: {}",
                String::from_utf8_lossy(&answer)
            );
        }
        let cancel = [&80_877_102_u32.to_be_bytes()[..], &[0; 8]].concat();
        let answer = answer(gateway.port, &message(b"", &cancel));
        assert!(answer.starts_with(b"E") && answer.ends_with(b"user \"\"\0\0"), "{program:?}");
    }
}

/// A start-up packet that another party sends before TLS begins is not taken for one of the client's.
#[test]
fn nothing_is_injected_before_tls() {
    let cluster = cluster();
    let pem = certificate(&cluster);
    for program in Program::ALL {
        let gateway = Gateway::start(program, &cluster, Some(&pem));
        let request = message(b"", &80_877_103_u32.to_be_bytes());
        let answer = answer(gateway.port, &[request, message(b"", STARTUP)].concat());
        // TLS is refused, or it fails, with an alert at most.
        let (first, rest) = answer.split_first().expect("an answer");
        assert!(
            *first == b'N' || *first == b'S' && matches!(rest.first(), None | Some(21)),
            "{program:?}: {answer:?}"
        );
    }
}

#[test]
fn the_programs_are_short() {
    for file in ["main", "functions", "protocol"] {
        let text = docs::read(&format!("contrib/gateway/rust/src/{file}.rs"));
        assert!(text.lines().count() <= 150, "{file}: {} lines", text.lines().count());
    }
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
