//! Credentials go to other systems and come from them: Kafka's own classes and Dovecot's doveadm
//! write what is imported and read what is exported.

use postgres::Client;
use scram_ext_client_tests::foreign::{
    Login, dovecot_accepts, dovecot_password, kafka_accepts, kafka_credential,
};
use scram_ext_client_tests::{Cluster, Raised, cell};

/// A password that each preparation hashes in another way.
const ODD: &str = "\u{2163} pencil\u{AD}";

#[test]
fn kafka_reads_and_writes_it() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for password in ["pencil", ODD] {
            let theirs = kafka_credential(mechanism, password, 8192);
            assert_eq!(identify(&mut client, &theirs), "kafka");
            let sql = "SELECT scram.verify($1, scram.import_verifier($2), 'none')";
            let row = client.query_one(sql, &[&password, &theirs]).expect("a verifier");
            assert!(row.get::<_, bool>(0), "{mechanism}, {password}");

            let sql = "SELECT scram.export_verifier(
                scram.generate($1, 4096, mechanism => $2, preparation => 'none'), 'kafka')";
            let ours: String =
                client.query_one(sql, &[&password, &mechanism]).expect("Kafka's").get(0);
            assert_eq!(kafka_accepts(mechanism, password, &ours), Login::In, "{mechanism}");
            assert_eq!(kafka_accepts(mechanism, "pen", &ours), Login::Refused, "{mechanism}");
        }
    }
}

#[test]
fn dovecot_reads_and_writes_it() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
        for encoding in ["", ".B64", ".HEX", ".b64", ".hex"] {
            for scheme in
                [format!("{mechanism}{encoding}"), format!("{mechanism}{encoding}").to_lowercase()]
            {
                let theirs = dovecot_password(&scheme, ODD);
                assert_eq!(identify(&mut client, &theirs), "dovecot", "{theirs}");
                let sql = "SELECT scram.verify($1, scram.import_verifier($2), 'none'),
                           (scram.parse(scram.import_verifier($2))).mechanism";
                let row = client.query_one(sql, &[&ODD, &theirs]).expect("a verifier");
                assert_eq!((row.get(0), row.get(1)), (true, mechanism), "{theirs}");
            }
        }
        let sql = "SELECT scram.export_verifier(
            scram.generate($1, mechanism => $2, preparation => 'none'), 'dovecot')";
        let ours: String = client.query_one(sql, &[&ODD, &mechanism]).expect("Dovecot's").get(0);
        assert!(dovecot_accepts(&ours, ODD), "{ours}");
        assert!(!dovecot_accepts(&ours, "pencil"), "{ours}");
    }
}

/// Each form that `export_verifier` writes comes back, and has a name.
#[test]
fn what_is_exported_is_identified_and_imported() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let sql = "SELECT string_agg(format || ' ' || scram.identify(text) || ' '
                   || (scram.import_verifier(text) = verifier)::text, ', ' ORDER BY format)
               FROM (SELECT scram.generate('pencil', 4096, convert_to(repeat('s', $2), 'UTF8'), $1) AS verifier) v,
                   unnest($3::text[]) format, scram.export_verifier(verifier, format) text";
    for (mechanism, salt, formats, expected) in [
        (
            "SCRAM-SHA-1",
            16,
            "{dovecot,ejabberd,ldap,mongodb,prosody}",
            "dovecot dovecot true, ejabberd scram-sha-1 true, ldap scram-sha-1 true, \
             mongodb mongodb true, prosody scram-sha-1 true",
        ),
        (
            "SCRAM-SHA-256",
            28,
            "{dovecot,ejabberd,kafka,ldap,mongodb,postgresql,prosody}",
            "dovecot dovecot true, ejabberd scram-sha-256 true, kafka kafka true, \
             ldap scram-sha-256 true, mongodb mongodb true, postgresql scram-sha-256 true, \
             prosody scram-sha-256 true",
        ),
        (
            "SCRAM-SHA-512",
            30,
            "{ejabberd,kafka,ldap}",
            "ejabberd scram-sha-512 true, kafka kafka true, ldap scram-sha-512 true",
        ),
    ] {
        let sql = sql
            .replace("$1", &format!("'{mechanism}'"))
            .replace("$2", &salt.to_string())
            .replace("$3", &format!("'{formats}'"));
        assert_eq!(cell(&mut client, &sql).as_deref(), Some(expected));
    }
}

/// No text is an error of another kind, however long or strange it is, in any encoding.
#[test]
fn every_text_is_a_verifier_or_malformed() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for text in [
        "repeat('x', 2000000)",
        "repeat('{', 65000)",
        "'{SCRAM-SHA-256}' || repeat('x', 1000000)",
        "'{\"SCRAM-SHA-256\":' || repeat('[', 60000)",
        "'{scram,' || repeat('<<\"', 5000)",
        "'return {[\"iteration_count\"] = ' || repeat('\"', 10000)",
        "chr(233)",
        "'scram:'",
    ] {
        let raised = Raised::by(&mut client, &format!("SELECT scram.import_verifier({text})"));
        assert_eq!(raised.code, "22P02", "{text}");
    }
    client
        .batch_execute("CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        .expect("a database");
    let mut latin1 = cluster.client_as(scram_ext_client_tests::cluster::SUPERUSER, "latin1");
    latin1.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    let raised = Raised::by(&mut latin1, "SELECT scram.import_verifier('{' || chr(233))");
    assert_eq!(raised.code, "22P02");
    // Prosody's salt is text, whose bytes in UTF-8 were hashed.
    let salt = "SELECT encode((scram.parse(scram.import_verifier('{\"iteration_count\": 4096, \"salt\": \"' || chr(233)
                || '\", \"stored_key\": \"' || repeat('00', 20) || '\", \"server_key\": \"' || repeat('00', 20) || '\"}'))).salt, 'hex')";
    assert_eq!(cell(&mut latin1, salt).as_deref(), Some("c3a9"));
}

fn identify(client: &mut Client, text: &str) -> String {
    client.query_one("SELECT scram.identify($1)", &[&text]).expect("a kind").get(0)
}
