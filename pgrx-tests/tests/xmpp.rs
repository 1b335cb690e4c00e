//! Prosody and ejabberd log users in with what was exported, and what they write is imported.

use postgres::Client;
use scram_ext_client_tests::foreign::{Login, xmpp};
use scram_ext_client_tests::xmpp::{Ejabberd, Prosody};
use scram_ext_client_tests::{Cluster, cell, docs};

/// A password that RFC 4013 changes: a Roman numeral and a soft hyphen.
const ODD: &str = "\u{2163} pencil\u{AD}";

#[test]
fn prosody_logs_in_and_writes_it() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    // The statement of the page.
    let statement = docs::block("docs/formats.md", "sql", "string_agg(key || ' = ' || value");
    let literal =
        statement.split('\'').find(|part| part.starts_with("SCRAM-")).expect("a verifier");
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
        let mut prosody = Prosody::new(mechanism);
        let theirs = prosody.register("theirs", ODD);
        is_theirs(&mut client, &theirs, mechanism);

        let sql = "SELECT scram.generate($1, 10000, convert_to('a \"quoted\\ salt', 'UTF8'), $2, preparation => 'saslprep')";
        let verifier: String = client.query_one(sql, &[&ODD, &mechanism]).expect("one").get(0);
        let file = cell(&mut client, &statement.replace(literal, &verifier)).expect("a file");
        prosody.add_account("ours", &file);
        let port = prosody.start();
        for user in ["ours", "theirs"] {
            assert_eq!(
                xmpp(port, "localhost", user, mechanism, ODD),
                Login::In,
                "{user}, {mechanism}"
            );
            assert_eq!(xmpp(port, "localhost", user, mechanism, "pencil"), Login::Refused);
        }
    }
}

#[test]
fn ejabberd_logs_in_and_writes_it() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let ejabberd = Ejabberd::start(&cluster, "theirs", ODD);
    let row = "SELECT to_json(u)::text FROM users u WHERE username = 'theirs-'";
    for (host, mechanism) in
        [("sha", "SCRAM-SHA-1"), ("sha256", "SCRAM-SHA-256"), ("sha512", "SCRAM-SHA-512")]
    {
        let row = row.replace("theirs-", &format!("theirs-{host}"));
        let theirs = cell(&mut client, &row).expect("a row");
        is_theirs(&mut client, &theirs, mechanism);

        // The column as docs/formats.md has it.
        let sql = "INSERT INTO users (username, password, serverkey, salt, iterationcount)
            SELECT 'ours-' || $3, CASE hash WHEN 'sha' THEN '' ELSE hash || ':' END || password, serverkey, salt, iterationcount
            FROM jsonb_to_record(scram.export_verifier(scram.generate($1, 10000, mechanism => $2, preparation => 'saslprep'),
                'ejabberd')::jsonb) AS t (hash text, password text, serverkey text, salt text, iterationcount integer)";
        client.execute(sql, &[&ODD, &mechanism, &host]).expect("a user");
        for user in [format!("ours-{host}"), format!("theirs-{host}")] {
            let login = |password| xmpp(ejabberd.port(), host, &user, mechanism, password);
            assert_eq!(login(ODD), Login::In, "{user}");
            assert_eq!(login("pencil"), Login::Refused, "{user}");
        }
    }
    let record = ejabberd.record();
    assert!(record.starts_with("{passwd,"), "{record}");
    is_theirs(&mut client, &record, "SCRAM-SHA-256");
    let export = ejabberd.export();
    assert!(export.contains("<scram-credentials"), "{export}");
    is_theirs(&mut client, &export, "SCRAM-SHA-256");
}

/// That a text is known, and holds the odd password.
fn is_theirs(client: &mut Client, text: &str, mechanism: &str) {
    let sql = "SELECT scram.identify($1), scram.verify($2, scram.import_verifier($1), 'saslprep'),
        (scram.parse(scram.import_verifier($1))).mechanism";
    let row = client.query_one(sql, &[&text, &ODD]).expect("a verifier");
    assert_eq!(row.get::<_, &str>(0), mechanism.to_lowercase(), "{text}");
    assert!(row.get::<_, bool>(1), "{text}");
    assert_eq!(row.get::<_, &str>(2), mechanism);
}
