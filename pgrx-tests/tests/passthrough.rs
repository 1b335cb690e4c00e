//! A proxy gets the keys of an accepted client, and logs in with them as the client.

use postgres::Client;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use scram_ext_client_tests::foreign::{Login, libpq_with_keys};
use scram_ext_client_tests::{Cluster, Raised, cell, rows, text};

/// An exchange of a client that knows `password` with `role_handshake_*`; the keys in Base64.
fn role_keys(client: &mut Client, role: &str, password: &str) -> (bool, Option<[String; 2]>) {
    let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let first = str::from_utf8(scram.message()).expect("text").to_owned();
    let start = "SELECT server_first, state FROM scram.role_handshake_start($1, $2)";
    let row = client
        .query_one(&start.replace("$2", &format!("'{role}'")), &[&first])
        .expect("a challenge");
    let (server_first, state): (String, Vec<u8>) = (row.get(0), row.get(1));
    scram.update(server_first.as_bytes()).expect("a good challenge");
    let last = str::from_utf8(scram.message()).expect("text").to_owned();
    let finish =
        "SELECT accepted, server_final, encode(client_key, 'base64'), encode(server_key, 'base64')
                  FROM scram.role_handshake_finish_passthrough($1, $2)";
    let row = client.query_one(finish, &[&state, &last]).expect("a decision");
    let accepted = row.get(0);
    let server_final: String = row.get(1);
    assert_eq!(scram.finish(server_final.as_bytes()).is_ok(), accepted);
    let keys: [Option<String>; 2] = [row.get(2), row.get(3)];
    (
        accepted,
        match keys {
            [Some(client_key), Some(server_key)] => Some([client_key, server_key]),
            [None, None] => None,
            other => panic!("{other:?}"),
        },
    )
}

/// libpq 18 logs in to the server with the keys of the exchange and without the password.
#[test]
fn the_keys_log_in_by_libpq() {
    let cluster = Cluster::builder().hba("host all all 127.0.0.1/32 scram-sha-256").start();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             CREATE ROLE app LOGIN PASSWORD 'pencil';
             CREATE ROLE other LOGIN PASSWORD 'pencil';
             CREATE ROLE gateway LOGIN;
             GRANT EXECUTE ON FUNCTION scram.role_handshake_start, scram.role_handshake_finish_passthrough
             TO gateway",
        )
        .expect("roles");
    let mut gateway = cluster.client_as("gateway", "postgres");

    assert_eq!(role_keys(&mut gateway, "app", "pen"), (false, None));
    assert_eq!(role_keys(&mut gateway, "nobody", "pencil"), (false, None));
    let (accepted, keys) = role_keys(&mut gateway, "app", "pencil");
    let [client_key, server_key] = keys.expect("keys");
    assert!(accepted);
    let login = |user: &str| libpq_with_keys(cluster.port(), user, &client_key, &server_key);
    assert_eq!(login("app"), Login::In);
    // The salt is another one, and so is the key.
    assert_eq!(login("other"), Login::Refused);

    // The same password with a new salt: the keys are worth nothing any more.
    admin.batch_execute("ALTER ROLE app PASSWORD 'pencil'").expect("ALTER ROLE");
    assert_eq!(login("app"), Login::Refused);

    let log = cluster.log();
    let line = "scram.role_handshake_finish_passthrough() checked a password of role \"app\" for \"gateway\"";
    assert_eq!(log.matches(line).count(), 2, "{log}");
    assert!(!log.contains(&client_key) && !log.contains(&server_key), "{log}");
}

/// A superuser's keys would be the cluster's.
#[test]
fn superusers_have_no_keys_unless_the_setting_is_on() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'pencil'").expect("a role");
    assert_eq!(role_keys(&mut client, "boss", "pencil"), (false, None));
    client.batch_execute("SET scram.authenticate_superusers = on").expect("the setting");
    assert!(matches!(role_keys(&mut client, "boss", "pencil"), (true, Some(_))));
}

/// For verifiers of any table and mechanism: StoredKey is the hash of ClientKey, and the keys are those
/// of the verifier that matched.
#[test]
fn the_keys_fit_the_verifier_that_matched() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE account (name text, mechanism text, verifier text, next text);
             INSERT INTO account SELECT 'ann', m, scram.generate('pencil', 4096, 'salt', m), scram.generate('pen', 4096, 'salt', m)
             FROM unnest(ARRAY['SCRAM-SHA-256', 'SCRAM-SHA-512']) m",
        )
        .expect("accounts");
    for (password, matched) in [("pencil", "1"), ("pen", "2")] {
        let sql = format!(
            "SELECT f.accepted, f.error, f.matched, f.username,
                 CASE a.mechanism WHEN 'SCRAM-SHA-256' THEN sha256(f.client_key) ELSE sha512(f.client_key) END
                     = p.stored_key,
                 f.server_key = p.server_key,
                 (SELECT count(*) FROM scram.handshake_finish(s.state, h.message, a.verifier, a.next) g
                  WHERE (g.accepted, g.server_final, g.username, g.matched) = (f.accepted, f.server_final, f.username, f.matched))
             FROM account a,
                 LATERAL scram.handshake_start('n,,n=ann,r=abc', a.verifier, verifier_alt => a.next) s,
                 LATERAL scram.handshake('{password}', CASE '{password}' WHEN 'pencil' THEN a.verifier ELSE a.next END, 'ann', NULL, 'abc',
                     substring(s.server_first FROM '^r=abc([^,]*),')) h,
                 LATERAL scram.handshake_finish_passthrough(s.state, h.message, a.verifier, a.next) f,
                 LATERAL scram.parse(CASE '{password}' WHEN 'pencil' THEN a.verifier ELSE a.next END) p
             WHERE h.name = 'client-final-message'"
        );
        let fits = [text("t"), None, text(matched), text("ann"), text("t"), text("t"), text("1")];
        assert_eq!(rows(&mut client, &sql), [fits.clone().to_vec(), fits.to_vec()], "{password}");
    }
}

#[test]
fn no_keys_without_acceptance() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let wrong =
        "SELECT f.accepted, f.server_final, f.error, f.client_key IS NULL AND f.server_key IS NULL
                 FROM (SELECT scram.generate('pencil') AS verifier) v,
                     LATERAL scram.handshake_start('n,,n=ann,r=abc', v.verifier) s,
                     LATERAL scram.handshake_finish_passthrough(s.state, {final}, {verifier}) f";
    let proof =
        "'c=biws,' || split_part(s.server_first, ',', 1) || ',p=' || repeat('A', 43) || '='";
    for (message, verifier, error) in [
        (proof, "v.verifier", "invalid-proof"),
        (proof, "NULL", "invalid-proof"),
        (proof, "scram.generate('another')", "invalid-proof"),
        ("NULL", "v.verifier", "invalid-encoding"),
        ("'c=biws,r=abc,p=AAAA'", "v.verifier", "invalid-encoding"),
    ] {
        let sql = wrong.replace("{final}", message).replace("{verifier}", verifier);
        let refused = [text("f"), text(&format!("e={error}")), text(error), text("t")];
        assert_eq!(rows(&mut client, &sql), [refused], "{message}, {verifier}");
    }
    for (sql, code) in [
        ("SELECT scram.handshake_finish_passthrough('\\x00', 'x', NULL)", "22023"),
        ("SELECT scram.handshake_finish_passthrough(NULL, 'x', NULL)", "22004"),
        ("SELECT scram.role_handshake_finish_passthrough('\\x00', 'x')", "22023"),
        ("SELECT scram.handshake_finish_passthrough('\\x00', 'x', 'hunter2')", "22023"),
    ] {
        assert_eq!(Raised::by(&mut client, sql).code, code, "{sql}");
    }

    client.batch_execute("CREATE ROLE plain").expect("a role");
    client.batch_execute("SET ROLE plain").expect("SET ROLE");
    for function in
        ["handshake_finish_passthrough('', '', '')", "role_handshake_finish_passthrough('', '')"]
    {
        let raised = Raised::by(&mut client, &format!("SELECT scram.{function}"));
        assert_eq!(raised.code, "42501", "{function}");
    }
    client.batch_execute("RESET ROLE").expect("RESET ROLE");
    assert_eq!(cell(&mut client, "SELECT 1").as_deref(), Some("1"));
}
