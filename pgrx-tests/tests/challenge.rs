//! Compares the challenges on the server's own port with those of the functions for roles.

use scram_ext_client_tests::port::server_first;
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
