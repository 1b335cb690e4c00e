//! Verifiers made in SQL, and real logins with them: by libpq's psql and by rust-postgres, which
//! has its own SCRAM code.

use postgres::Client;
use scram_ext_client_tests::{Cluster, cell};

/// Passwords that every client prepares in the same way.
const PASSWORDS: &[(&str, &str)] = &[
    ("plain", "correct horse battery staple"),
    ("one byte", "x"),
    ("spaces at both ends", "  pencil "),
    ("quotes and backslashes", r#"it's "a" \ %s $1 {}"#),
    ("comma and equals sign", "p,a=s=2C"),
    (
        "longer than a hash block",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
    ),
    ("Latin letters with marks", "Zürich und Łódź"),
    ("two letters for one", "e\u{301}tude"),
    ("Cyrillic", "пароль"),
    ("Hebrew", "שלום"),
    ("Chinese", "密码"),
    ("soft hyphen inside", "I\u{ad}X"),
    ("no-break space", "a\u{a0}b"),
    ("ligature", "\u{fb01}sh"),
    ("roman numeral", "\u{2168}"),
    ("emoji, which is not prepared", "p\u{1f600}"),
];

#[test]
fn a_role_made_with_a_verifier_logs_in() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for (name, password) in PASSWORDS {
        let verifier = make_role(&mut client, "alice", password, "scram.generate($1)");
        let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'";
        assert_eq!(cell(&mut client, stored).as_deref(), Some(&*verifier), "{name}");

        assert_lets_in(&cluster, "alice", password.as_bytes(), name);
        assert_keeps_out(&cluster, "alice", b"wrong", name);
        assert_keeps_out(&cluster, "alice", format!("{password}.").as_bytes(), name);
        client.batch_execute("DROP ROLE alice").expect("DROP ROLE");
    }

    for (name, generate) in [
        ("more iterations", "scram.generate($1, 20000)"),
        ("a salt of one byte", "scram.generate($1, 4096, '\\x00')"),
        ("a salt of 200 bytes", "scram.generate($1, 4096, decode(repeat('5a', 200), 'hex'))"),
    ] {
        make_role(&mut client, "alice", "pencil", generate);
        assert_lets_in(&cluster, "alice", b"pencil", name);
        assert_keeps_out(&cluster, "alice", b"Pencil", name);
        client.batch_execute("DROP ROLE alice").expect("DROP ROLE");
    }
}

/// Passwords as SQL literals, in databases of each encoding, given by a client of that encoding.
/// LATIN1's `Â` and no-break space are the bytes of a UTF-8 no-break space; `é` is no UTF-8.
const LITERALS: &[(&str, &str)] = &[
    ("UTF8", "U&'p\\00E4ssw\\00F6rd'"),
    ("UTF8", "U&'a\\00A0b'"),
    ("UTF8", "U&'\\00AD'"),
    ("UTF8", "U&'\\0627' || '1'"),
    ("UTF8", "U&'a\\+01F600'"),
    ("LATIN1", "U&'p\\00E4ssw\\00F6rd'"),
    ("LATIN1", "U&'\\00E9'"),
    ("LATIN1", "U&'a\\00C2\\00A0b'"),
    ("LATIN1", "U&'\\00C2\\00AD'"),
    ("LATIN1", "'plain'"),
    ("SQL_ASCII", "E'p\\xc3\\xa4ss'"),
    ("SQL_ASCII", "E'p\\xe4ss'"),
    ("SQL_ASCII", "E'a\\xc2\\xa0b'"),
    ("SQL_ASCII", "E'\\xc2\\xad'"),
    ("SQL_ASCII", "E'\\xed\\xa0\\x80'"),
    ("SQL_ASCII", "'plain'"),
];

#[test]
fn every_encoding_hashes_the_bytes_that_alter_role_hashes() {
    let cluster = Cluster::start();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE ROLE alice LOGIN").expect("the role");
    for encoding in ["UTF8", "LATIN1", "SQL_ASCII"] {
        let create = format!(
            "CREATE DATABASE in_{encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        );
        admin.batch_execute(&create).expect(encoding);
        let mut client = cluster.client_as("postgres", &format!("in_{}", encoding.to_lowercase()));
        client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");

        for (_, literal) in LITERALS.iter().filter(|(of, _)| of == &encoding) {
            // ALTER ROLE takes a constant only.
            client
                .batch_execute(&format!(
                    "DO $do$ BEGIN
                         EXECUTE format('ALTER ROLE alice PASSWORD %L', {literal});
                     END $do$"
                ))
                .expect(literal);
            let found = cell(
                &mut client,
                &format!(
                    "SELECT concat_ws(' ', rolpassword = scram.generate({literal}, 4096,
                                (scram.parse(rolpassword)).salt),
                            scram.verify({literal}, rolpassword),
                            scram.verify({literal} || '.', rolpassword),
                            scram.match_any(rolpassword, ARRAY['other', {literal}]))
                     FROM pg_authid WHERE rolname = 'alice'"
                ),
            );
            assert_eq!(found.as_deref(), Some("t t f 2"), "{encoding}: {literal}");

            // A client that sends these bytes can log in with a verifier made by the extension.
            let made = format!(
                "SELECT scram.generate({literal}),
                        convert_to({literal}, getdatabaseencoding()::name)"
            );
            let made = client.query_one(&made, &[]).expect(literal);
            let (verifier, bytes): (String, Vec<u8>) = (made.get(0), made.get(1));
            let alter = format!("ALTER ROLE alice PASSWORD '{verifier}'");
            client.batch_execute(&alter).expect("ALTER ROLE");
            let psql = cluster.psql_login("alice", &bytes, "SELECT 1");
            let stderr = String::from_utf8_lossy(&psql.stderr);
            assert!(psql.status.success(), "{encoding}: {literal}: {stderr}");
        }
    }
}

fn make_role(client: &mut Client, role: &str, password: &str, generate: &str) -> String {
    let verifier: String = client
        .query_one(&format!("SELECT {generate}"), &[&password])
        .unwrap_or_else(|error| panic!("{error:?}: {generate}"))
        .get(0);
    // CREATE ROLE is a utility statement: no parameters. A verifier needs no quoting.
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD '{verifier}'");
    client.batch_execute(&create).expect("CREATE ROLE");
    verifier
}

fn assert_lets_in(cluster: &Cluster, role: &str, password: &[u8], name: &str) {
    let psql = cluster.psql_login(role, password, "SELECT session_user");
    let stderr = String::from_utf8_lossy(&psql.stderr);
    assert!(psql.status.success(), "{name}: psql: {stderr}");
    assert_eq!(String::from_utf8_lossy(&psql.stdout).trim(), role, "{name}: psql");

    let mut client =
        cluster.login(role, password).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_eq!(cell(&mut client, "SELECT session_user").as_deref(), Some(role), "{name}");
}

fn assert_keeps_out(cluster: &Cluster, role: &str, password: &[u8], name: &str) {
    let psql = cluster.psql_login(role, password, "SELECT 1");
    let stderr = String::from_utf8_lossy(&psql.stderr);
    assert!(!psql.status.success(), "{name}: psql got in with a wrong password");
    assert!(stderr.contains("password authentication failed"), "{name}: psql: {stderr}");

    let error = cluster.login(role, password).err();
    let error = error.unwrap_or_else(|| panic!("{name}: got in with a wrong password"));
    assert_eq!(error.code().map(|code| code.code()), Some("28P01"), "{name}: {error:?}");
}
