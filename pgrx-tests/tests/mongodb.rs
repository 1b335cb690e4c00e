//! The drivers of MongoDB, each with BSON and a SCRAM client of its own: they write users that are imported, read
//! credentials that are exported, and log in with them.

use scram_ext_client_tests::foreign::Login::{In, Refused};
use scram_ext_client_tests::mongodb::{Driver, Server};
use scram_ext_client_tests::{Cluster, rows};

/// SASLprep changes it.
const PASSWORD: &str = "\u{2163} pencil\u{AD}";

/// SCRAM has escapes for this name.
const ODD_NAME: &str = "a,n=n";

/// Credentials as `export_verifier` writes them. MongoDB hashes the MD5 digest of name and password for SCRAM-SHA-1, in
/// lower-case hexadecimal digits.
const CREDENTIALS: &str = r#"
    CREATE FUNCTION sha1(name text, password text) RETURNS jsonb LANGUAGE sql AS $$
        SELECT scram.export_verifier(scram.generate(
            md5(convert_to(name || ':mongo:' || password, 'UTF8')), 10000, mechanism => 'SCRAM-SHA-1'), 'mongodb')::jsonb
    $$;
    CREATE FUNCTION sha256(password text) RETURNS jsonb LANGUAGE sql AS $$
        SELECT scram.export_verifier(scram.generate(
            password, 15000, salt_length => 28, preparation => 'saslprep'), 'mongodb')::jsonb
    $$;
"#;

/// Users in the two forms of Extended JSON that mongoexport writes, with both credentials.
#[test]
fn users_are_read_in_both_forms() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute(CREDENTIALS).expect("the functions");
    let sql = "SELECT (sha1('ann', $1) || sha256($1))::text";
    let credentials: String = client.query_one(sql, &[&PASSWORD]).expect("credentials").get(0);
    for driver in Driver::ALL {
        for form in ["relaxed", "canonical"] {
            let user = driver.user(form, &credentials);
            assert_eq!(user.contains("$numberInt"), form == "canonical", "{user}");
            let sql = "SELECT scram.identify($1) = 'mongodb',
                scram.import_verifier($1) = scram.import_verifier($1, 'SCRAM-SHA-256'),
                scram.import_verifier($1, 'SCRAM-SHA-1') = scram.import_verifier($2, 'SCRAM-SHA-1'),
                scram.import_verifier($1, 'SCRAM-SHA-256') = scram.import_verifier($2, 'SCRAM-SHA-256'),
                scram.verify($3, scram.import_verifier($1), 'saslprep'),
                scram.verify(md5(convert_to('ann:mongo:' || $3, 'UTF8')), scram.import_verifier($1, 'SCRAM-SHA-1')),
                NOT scram.verify($3, scram.import_verifier($1, 'SCRAM-SHA-1'), 'saslprep')";
            let row = client.query_one(sql, &[&user, &credentials, &PASSWORD]).expect("verifiers");
            let verdicts: Vec<bool> = (0..row.len()).map(|column| row.get(column)).collect();
            assert_eq!(verdicts, [true; 7], "{driver:?}, {user}");
        }
    }
}

/// The exchange of each login is that of `handshake_start` and `handshake_finish`.
#[test]
fn drivers_log_in_with_exported_credentials() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute(CREDENTIALS).expect("the functions");
    let sql = "CREATE TABLE mongodb_user (name text, mechanism text, secret scram.verifier, PRIMARY KEY (name, mechanism))";
    client.batch_execute(sql).expect("a table");
    let sql = "INSERT INTO mongodb_user
        SELECT name, mechanism, scram.import_verifier(credentials::text, mechanism)
        FROM (VALUES ('ann', sha1('ann', $2) || sha256($2)), ($1, sha1($1, $2) || sha256($2)),
                     ('old', sha1('old', $2)), ('new', sha256($2))) u (name, credentials),
            jsonb_object_keys(credentials) mechanism";
    assert_eq!(client.execute(sql, &[&ODD_NAME, &PASSWORD]).expect("users"), 6);
    let server = Server::start(&cluster);
    for driver in Driver::ALL {
        for (name, mechanism, password, expected) in [
            ("ann", "any", PASSWORD, In),
            ("ann", "SCRAM-SHA-1", PASSWORD, In),
            ("ann", "SCRAM-SHA-256", PASSWORD, In),
            ("ann", "any", "pencil", Refused),
            ("ann", "SCRAM-SHA-1", "pencil", Refused),
            ("ann", "SCRAM-SHA-256", "pencil", Refused),
            (ODD_NAME, "any", PASSWORD, In),
            (ODD_NAME, "any", "pencil", Refused),
            // The driver for Node hashes the name with the escapes of SCRAM.
            (ODD_NAME, "SCRAM-SHA-1", PASSWORD, if driver == Driver::Node { Refused } else { In }),
            // The driver asks the server which mechanisms a user has.
            ("old", "any", PASSWORD, In),
            ("old", "SCRAM-SHA-256", PASSWORD, Refused),
            ("new", "any", PASSWORD, In),
            ("new", "SCRAM-SHA-1", PASSWORD, Refused),
            ("unknown", "any", PASSWORD, Refused),
            ("unknown", "SCRAM-SHA-1", PASSWORD, Refused),
            ("unknown", "SCRAM-SHA-256", PASSWORD, Refused),
        ] {
            let login = driver.login(&server, name, password, mechanism);
            assert_eq!(login, expected, "{driver:?}, {name}, {mechanism}, {password}");
        }
    }
    // The digest of SCRAM-SHA-1 has the name in it, so that a renamed user must get a new password.
    let other = "UPDATE mongodb_user SET name = 'other' WHERE name = 'old'";
    assert_eq!(client.execute(other, &[]).expect("a renamed user"), 1);
    assert_eq!(Driver::Node.login(&server, "other", PASSWORD, "SCRAM-SHA-1"), Refused);
}

/// MongoDB's SCRAM-SHA-1 alone: in documents whose rows are named by `_id`, and as verifiers of a source that says so.
#[test]
fn weak_passwords_are_found() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute(CREDENTIALS).expect("the functions");
    client
        .batch_execute(
            "CREATE TABLE users (id text, document text);
             INSERT INTO users SELECT 'admin.' || name, jsonb_build_object('user', name, 'credentials', sha1(name, password))
             FROM (VALUES ('ann', 'Ann' || extract(year FROM now())), ('bob', 'pass phrase'), ('eve', 'a long password of eve'), ('joe', '')) u (name, password);
             INSERT INTO users SELECT 'mia', sha1('mia', 'pass phrase')::text;
             CREATE TABLE verifiers AS SELECT name, scram.import_verifier(sha1(name, 'pass phrase')::text) AS verifier
             FROM (VALUES ('ann'), ('bob')) u (name);
             SELECT scram.add_audit_source('mongodb', 'users', 'id', 'document'),
                 scram.add_audit_source('verifiers', 'verifiers', 'name', 'verifier');
             INSERT INTO scram.wordlist VALUES ('pass phrase')",
        )
        .expect("a source");
    let expected = [
        ["mongodb", "admin.ann", "password_is_name"],
        ["mongodb", "admin.bob", "password_in_wordlist"],
        ["mongodb", "admin.joe", "password_empty"],
        ["mongodb", "mia", "password_in_wordlist"],
        ["verifiers", "ann", "password_in_wordlist"],
        ["verifiers", "bob", "password_in_wordlist"],
    ];
    let expected = expected.map(|row| row.map(|text| Some(text.to_owned())).to_vec());
    client.batch_execute("CALL scram.run_audit()").expect("a run");
    // What was tried before the source said so is tried again.
    let says_so = "UPDATE scram.audit_source SET client = 'mongodb' WHERE name = 'verifiers'";
    assert_eq!(client.execute(says_so, &[]).expect("its client"), 1);
    client.batch_execute("CALL scram.run_audit()").expect("another run");
    let found = "SELECT source, subject, check_id FROM scram.audit_finding
        WHERE source <> 'role' AND check_id LIKE 'password%' ORDER BY 1, 2";
    assert_eq!(rows(&mut client, found), expected);
}
