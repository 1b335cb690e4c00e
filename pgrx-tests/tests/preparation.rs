//! `preparation` and `salt_length` of `generate`, and `preparation` of `verify`, against verifiers
//! that other implementations made.

use postgres::Client;
use scram_ext_client_tests::cluster::SUPERUSER;
use scram_ext_client_tests::{Cluster, Raised, cell};
use serde_json::Value;

#[test]
fn vectors_of_others_are_verified_by_their_preparation() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let text = include_str!("../../crates/scram-core/tests/testdata/vectors.json");
    let vectors: Vec<Value> = serde_json::from_str(text).expect("vectors.json");
    let mut seen = 0;
    for vector in &vectors {
        let field = |name: &str| vector[name].as_str().unwrap_or_default().to_owned();
        let name = field("name");
        let mechanism = field("mechanism").replace("-PLUS", "");
        let known = ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&&*mechanism);
        // PostgreSQL's text has no invalid UTF-8, and no password is derived that takes a second.
        let count = vector["iterations"].as_u64().expect("a count");
        if !known || !vector["password"].is_string() || count > 100_000 {
            continue;
        }
        let verifier = format!(
            "{mechanism}${count}:{}${}:{}",
            field("salt_b64"),
            field("stored_key_b64"),
            field("server_key_b64")
        );
        let (password, preparation) = match &*field("preparation") {
            "none (skipSASLprep)" => (field("password"), "none"),
            "mongodb md5(user:mongo:password)" => {
                let digest = "SELECT md5(convert_to($1::text || ':mongo:' || $2, 'UTF8'))";
                let arguments: [&(dyn postgres::types::ToSql + Sync); 2] =
                    [&field("username"), &field("password")];
                (client.query_one(digest, &arguments).expect("a digest").get(0), "none")
            }
            "raw-fallback" => (field("password"), "none"),
            // Made by PostgreSQL; RFC 4013 normalises this one by the tables of Unicode 3.2.
            "saslprep" if name == "gen-sha256-pw-u2f868" => (field("password"), "postgresql"),
            "saslprep" => (field("password"), "saslprep"),
            other => panic!("{name}: {other}"),
        };
        assert!(verify(&mut client, &password, &verifier, preparation), "{name}");
        seen += 1;
    }
    assert!(seen > 95, "{seen}");
}

/// Roman numeral four, a soft hyphen inside and alone: the three preparations hash other bytes.
#[test]
fn the_three_preparations_differ() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let mut check = |password: &str, preparation: &str, same: &str, same_preparation: &str| {
        let made = client
            .query_one("SELECT scram.generate($1, preparation => $2)", &[&password, &preparation])
            .expect("a verifier")
            .get::<_, String>(0);
        verify(&mut client, same, &made, same_preparation)
    };
    assert!(check("\u{2163}", "saslprep", "IV", "none"));
    assert!(check("\u{2163}", "postgresql", "IV", "none"));
    assert!(check("\u{2163}", "none", "\u{2163}", "none"));
    assert!(!check("\u{2163}", "none", "\u{2163}", "postgresql"));
    assert!(!check("\u{2163}", "none", "IV", "none"));
    assert!(check("a\u{AD}b", "saslprep", "ab", "none"));
    assert!(!check("a\u{AD}b", "none", "ab", "none"));
    // PostgreSQL takes a password that it cannot prepare as it was typed.
    assert!(check("\u{AD}", "postgresql", "\u{AD}", "none"));
    assert!(check("\u{1F511}", "postgresql", "\u{1F511}", "none"));

    for password in ["\u{1F511}", "\u{7}", "\u{627}1"] {
        for sql in [
            "SELECT scram.generate($1, preparation => 'saslprep')",
            "SELECT scram.verify($1, scram.generate('x'), 'saslprep')",
        ] {
            let error = client.query(sql, &[&password]).expect_err("an error");
            let error = error.as_db_error().expect("the server's");
            assert_eq!(error.code().code(), "22023", "{password:?}");
            assert!(error.detail().is_some_and(|detail| detail.contains("SASLprep")), "{error:?}");
        }
    }
    // RFC 4013 makes nothing of a soft hyphen.
    let empty = "SELECT scram.generate(U&'\\00AD', preparation => 'saslprep')";
    assert_eq!(Raised::by(&mut client, empty).code, "22023");
}

/// RFC 4013 is about characters, the others about bytes.
#[test]
fn preparations_in_another_encoding() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    for encoding in ["latin1", "sql_ascii"] {
        let create = format!(
            "CREATE DATABASE {encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        );
        admin.batch_execute(&create).expect("a database");
    }
    let from_utf8 = |preparation: &str| {
        format!("SELECT scram.generate(U&'\\00E9', salt => 'salt', preparation => '{preparation}')")
    };
    let utf8 = cell(&mut admin, &from_utf8("saslprep"));
    assert_eq!(utf8, cell(&mut admin, &from_utf8("none")));

    let mut latin1 = cluster.client_as(SUPERUSER, "latin1");
    latin1.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    let made = |client: &mut Client, preparation: &str| {
        let sql = format!(
            "SELECT scram.generate(chr(233), salt => 'salt', preparation => '{preparation}')"
        );
        cell(client, &sql)
    };
    assert_eq!(made(&mut latin1, "saslprep"), utf8);
    assert_ne!(made(&mut latin1, "none"), utf8);

    let mut ascii = cluster.client_as(SUPERUSER, "sql_ascii");
    ascii.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    let good = "SELECT scram.generate(E'\\xC3\\xA9', salt => 'salt', preparation => 'saslprep')";
    assert_eq!(cell(&mut ascii, good), utf8);
    let bad = "SELECT scram.generate(E'\\xE9', preparation => 'saslprep')";
    let raised = Raised::by(&mut ascii, bad);
    assert_eq!(raised.code, "22023");
    assert!(raised.texts().any(|text| text.contains("UTF-8")), "{raised:?}");
}

#[test]
fn a_salt_of_a_given_length() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for length in [1, 28, 300] {
        let sql = format!(
            "SELECT length((scram.parse(scram.generate('x', salt_length => {length}))).salt)"
        );
        assert_eq!(cell(&mut client, &sql), Some(length.to_string()));
    }
    let distinct =
        "SELECT count(DISTINCT (scram.parse(scram.generate('x', salt_length => 28))).salt)
                    FROM generate_series(1, 20)";
    assert_eq!(cell(&mut client, distinct).as_deref(), Some("20"));
    let sha_512 = "SELECT length((scram.parse(scram.generate('x', mechanism => 'SCRAM-SHA-512',
                   salt_length => 1024))).salt)";
    assert_eq!(cell(&mut client, sha_512).as_deref(), Some("1024"));
}

fn verify(client: &mut Client, password: &str, verifier: &str, preparation: &str) -> bool {
    let sql = "SELECT scram.verify($1, $2, $3)";
    client.query_one(sql, &[&password, &verifier, &preparation]).expect("an answer").get(0)
}
