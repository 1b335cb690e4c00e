//! Compares the challenges on the server's own port with those of the functions for roles.

use std::io::{Read, Write};
use std::net::TcpStream;

use scram_ext_client_tests::{Cluster, cell};

/// Roles that exist in every way, and some that don't.
const ROLES: &[(&str, &str)] = &[
    ("plain", "LOGIN PASSWORD 'x'"),
    ("locked", "NOLOGIN PASSWORD 'x'"),
    ("expired", "LOGIN PASSWORD 'x' VALID UNTIL '2020-01-01'"),
    ("bare", "LOGIN"),
    ("md5", "LOGIN PASSWORD 'md5f64bbf1ba9e9eb8d1f8a0dcdd6f5d4ce'"),
    ("\u{fc}ml\u{e4}ut", "LOGIN PASSWORD 'x'"),
];
/// Stored forms that no strict parser accepts: the name, and the text before the keys.
const LAX: &[(&str, &str)] = &[
    ("zero in front", "SCRAM-SHA-256$04096:AAECAwQFBgcICQoLDA0ODw=="),
    ("no iterations", "SCRAM-SHA-256$0:AAECAwQFBgcICQoLDA0ODw=="),
    ("negative", "SCRAM-SHA-256$-7:AAECAwQFBgcICQoLDA0ODw=="),
    ("wraps", "SCRAM-SHA-256$4294967297:AAECAwQFBgcICQoLDA0ODw=="),
    ("salt not canonical", "SCRAM-SHA-256$4096:QQ==QUJD"),
];
const KEYS: &str =
    "$zHCdol2044/ZyWzPLi7oxApCkamKw9Z+E4U/QApd/5Y=:dd5peBOitVnLNFu7VmwP+HiDaaw4OUCv396eVCWhYiE=";
const MISSING: &[&str] = &["nobody", "n\u{f6}body", "a,b=c", " "];

#[test]
fn roles_are_challenged_as_on_the_servers_port() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for (name, options) in ROLES {
        client.batch_execute(&format!("CREATE ROLE \"{name}\" {options}")).expect(name);
    }
    for (name, start) in LAX {
        // ALTER ROLE would take some of them too, but not in every release.
        client
            .batch_execute(&format!(
                "CREATE ROLE \"{name}\" LOGIN;
                 UPDATE pg_authid SET rolpassword = '{start}{KEYS}' WHERE rolname = '{name}'"
            ))
            .expect(name);
    }
    // The server truncates a name that is too long.
    let long = "x".repeat(100);
    let names = ROLES.iter().chain(LAX).map(|(name, _)| *name);
    let names = names.chain(MISSING.iter().copied()).chain([&*long]);
    for name in names {
        let sql =
            format!("SELECT server_first FROM scram.role_handshake_start('n,,n=,r=abc', '{name}')");
        let ours = cell(&mut client, &sql).expect("a challenge");
        let theirs = server_first(cluster.port(), name);
        assert_eq!(after_nonce(&ours), after_nonce(&theirs), "{name}");
        assert_eq!(ours.len(), theirs.len(), "{name}: a nonce of the same length");
        // The same at every try.
        let again = cell(&mut client, &sql).expect("a challenge");
        assert_eq!(after_nonce(&ours), after_nonce(&again), "{name}");
        assert_ne!(ours, again, "{name}: a new nonce");
    }
}

fn after_nonce(server_first: &str) -> &str {
    server_first.split_once(",s=").expect("a salt").1
}

/// Asks for a session as this role and reads the server's first SCRAM message.
fn server_first(port: u16, role: &str) -> String {
    let mut server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    body.extend_from_slice(format!("user\0{role}\0database\0postgres\0\0").as_bytes());
    server.write_all(&length(&body)).expect("the start-up packet");
    let (kind, body) = read(&mut server);
    assert_eq!((kind, &body[..4]), (b'R', &10_u32.to_be_bytes()[..]), "{role}: SASL is asked for");

    let first = b"n,,n=,r=abc";
    let mut body = b"SCRAM-SHA-256\0".to_vec();
    body.extend_from_slice(&u32::try_from(first.len()).expect("short").to_be_bytes());
    body.extend_from_slice(first);
    server.write_all(b"p").and_then(|()| server.write_all(&length(&body))).expect("client-first");
    let (kind, body) = read(&mut server);
    assert_eq!(
        (kind, &body[..4]),
        (b'R', &11_u32.to_be_bytes()[..]),
        "{role}: the exchange goes on"
    );
    String::from_utf8(body[4..].to_vec()).expect("text")
}

fn length(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).expect("a short message");
    [&len.to_be_bytes(), body].concat()
}

fn read(server: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 5];
    server.read_exact(&mut head).expect("a message");
    let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let mut body = vec![0; len as usize - 4];
    server.read_exact(&mut body).expect("its body");
    (head[0], body)
}
