//! The handshake: published transcripts to the byte, and the two calls of a server against an
//! independent client (rust-postgres's).

use postgres::Client;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

/// A published conversation; `generate` makes its verifier.
struct Published {
    source: &'static str,
    password: &'static str,
    generate: &'static str,
    username: &'static str,
    client_nonce: &'static str,
    server_nonce: &'static str,
    messages: [&'static str; 4],
}

const PUBLISHED: &[Published] = &[
    Published {
        source: "RFC 5802 section 5",
        password: "pencil",
        generate: "4096, decode('QSXCR+Q6sek8bf92', 'base64'), 'SCRAM-SHA-1'",
        username: "user",
        client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
        server_nonce: "3rfcNHYJY1ZVvWVs7j",
        messages: [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    },
    Published {
        source: "RFC 7677 section 3",
        password: "pencil",
        generate: "4096, decode('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')",
        username: "user",
        client_nonce: "rOprNGfwEbeRWgbNEkqO",
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        messages: [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    },
    Published {
        source: "xdg-go/scram, sha-512-ascii",
        password: "pencil",
        generate: "10000, decode('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'), 'SCRAM-SHA-512'",
        username: "user",
        client_nonce: "/uAp+YhRXyuq+1zS3YWsUsZHpxLfGkcQ",
        server_nonce: "4FHzBxBhPzykjGStpoxdfs4Nyp1mtC9B",
        messages: [
            "n,,n=user,r=/uAp+YhRXyuq+1zS3YWsUsZHpxLfGkcQ",
            "r=/uAp+YhRXyuq+1zS3YWsUsZHpxLfGkcQ4FHzBxBhPzykjGStpoxdfs4Nyp1mtC9B,\
             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=10000",
            "c=biws,r=/uAp+YhRXyuq+1zS3YWsUsZHpxLfGkcQ4FHzBxBhPzykjGStpoxdfs4Nyp1mtC9B,\
             p=E2tqtuwJz5ShFuck1/KeqZKCmGZe/Lxjyr6fTZio21wZtlpgyeYLNxxQXrLuK/FfMSCanyDRmI1q5KL1Tj54nQ==",
            "v=qKOkLNGdt0VrlVkoL3kXjhWmI4SjEfqw8ogXgikzbPOMh6gloo8Mrboq/q3cz0/7hIvcQ1N9VL4m7iiSTTyolQ==",
        ],
    },
    Published {
        source: "xdg-go/scram, sha-256-saslprep-non-normal",
        password: "p\u{212b}ssword",
        generate: "4096, decode('c2FsdFNBTFRzYWx0', 'base64')",
        username: "ram\u{f3}n",
        client_nonce: "clientNONCE",
        server_nonce: "serverNONCE",
        messages: [
            "n,,n=ram\u{f3}n,r=clientNONCE",
            "r=clientNONCEserverNONCE,s=c2FsdFNBTFRzYWx0,i=4096",
            "c=biws,r=clientNONCEserverNONCE,p=KXgIc8B+d5k3zx1P4rfs4TiybIlv11O85Jl1TrzEsfI=",
            "v=zG9u+MI5GPTROhnW/W1PUCKV4Uvp2SHzwFOZV9Hth/c=",
        ],
    },
];

#[test]
fn published_transcripts_come_out_to_the_byte() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for case in PUBLISHED {
        let play = |client: &mut Client, password: &str| -> Vec<String> {
            let sql = format!(
                "SELECT concat_ws('|', step, sender, name, message)
                 FROM scram.handshake($1, scram.generate($2, {}), $3,
                                      client_nonce => $4, server_nonce => $5)",
                case.generate
            );
            let arguments: [&(dyn postgres::types::ToSql + Sync); 5] =
                [&password, &case.password, &case.username, &case.client_nonce, &case.server_nonce];
            let rows = client.query(&sql, &arguments).unwrap_or_else(|e| panic!("{e:?}\n{sql}"));
            rows.iter().map(|row| row.get(0)).collect()
        };
        let names = [
            "1|client|client-first-message",
            "2|server|server-first-message",
            "3|client|client-final-message",
            "4|server|server-final-message",
        ];
        let expected: Vec<_> =
            names.iter().zip(case.messages).map(|(name, text)| format!("{name}|{text}")).collect();
        assert_eq!(play(&mut client, case.password), expected, "{}", case.source);

        let refused = play(&mut client, "wrong");
        assert_eq!(refused[..2], expected[..2], "{}: wrong password", case.source);
        assert_eq!(refused[3], format!("{}|e=invalid-proof", names[3]), "{}", case.source);
    }
}

/// A row of handshake_finish.
#[derive(Debug, Eq, PartialEq)]
struct Finished {
    accepted: bool,
    server_final: Option<String>,
    username: Option<String>,
    error: Option<String>,
    matched: Option<i32>,
}

/// Plays the foreign client against the two calls and returns both ends' verdicts.
fn play(client: &mut Client, password: &str, arguments: &str, verifiers: &str) -> (Finished, bool) {
    let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let start =
        format!("SELECT server_first, state, error FROM scram.handshake_start($1, {arguments})");
    let first = String::from_utf8(scram.message().to_vec()).expect("text");
    let row = client.query_one(&start, &[&first]).unwrap_or_else(|e| panic!("{e:?}\n{start}"));
    assert_eq!(row.get::<_, Option<&str>>("error"), None, "{first}");
    scram.update(row.get::<_, &str>("server_first").as_bytes()).expect("a good server-first");

    let finish = format!("SELECT * FROM scram.handshake_finish($1, $2, {verifiers})");
    let last = String::from_utf8(scram.message().to_vec()).expect("text");
    let state: Vec<u8> = row.get("state");
    let row = client.query_one(&finish, &[&state, &last]).unwrap_or_else(|e| panic!("{e:?}"));
    let finished = Finished {
        accepted: row.get("accepted"),
        server_final: row.get("server_final"),
        username: row.get("username"),
        error: row.get("error"),
        matched: row.get("matched"),
    };
    let message = finished.server_final.clone().unwrap_or_default();
    let verified = scram.finish(message.as_bytes()).is_ok();
    (finished, verified)
}

#[test]
fn a_foreign_client_is_let_in_or_kept_out() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE app_user AS SELECT scram.generate('new password') AS verifier;
             ALTER TABLE app_user ADD old text;
             UPDATE app_user SET old = scram.generate('old password', 4096,
                                                      (scram.parse(verifier)).salt)",
        )
        .expect("a user");
    let new = "(SELECT verifier FROM app_user)";
    let both = "(SELECT verifier FROM app_user), (SELECT old FROM app_user)";
    let start_new = format!("{new}, 'ann'");
    let start_both = format!("{new}, 'ann', verifier_alt => (SELECT old FROM app_user)");

    let accepted = |matched| {
        move |finished: &Finished| {
            finished.accepted
                && finished.username.as_deref() == Some("ann")
                && finished.matched == Some(matched)
                && finished.error.is_none()
                && finished.server_final.as_deref().is_some_and(|text| text.starts_with("v="))
        }
    };
    for (password, start, finish, matched) in [
        ("new password", &*start_new, new, 1),
        ("new password", &*start_both, both, 1),
        ("old password", &*start_both, both, 2),
    ] {
        let (finished, verified) = play(&mut client, password, start, finish);
        assert!(accepted(matched)(&finished), "{password}: {finished:?}");
        assert!(verified, "{password}: the client doesn't believe the server");
    }

    let refused = Finished {
        accepted: false,
        server_final: Some("e=invalid-proof".to_owned()),
        username: None,
        error: Some("invalid-proof".to_owned()),
        matched: None,
    };
    for (name, password, start, finish) in [
        ("wrong password", "wrong", &*start_new, new),
        ("old password without the old verifier", "old password", &*start_new, new),
        ("unknown user", "new password", "NULL, 'nobody'", "NULL"),
        (
            "a verifier of another mechanism",
            "new password",
            "scram.generate('new password', mechanism => 'SCRAM-SHA-512'), 'ann', 'SCRAM-SHA-256'",
            new,
        ),
        (
            "another verifier at the end",
            "new password",
            &*start_new,
            "scram.generate('new password')",
        ),
    ] {
        let (finished, verified) = play(&mut client, password, start, finish);
        assert_eq!(finished, refused, "{name}");
        assert!(!verified, "{name}: the client believes the server");
    }
}

#[test]
fn a_role_is_let_in_as_the_server_would_let_it_in() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE ann LOGIN PASSWORD 'pencil';
             CREATE ROLE gone LOGIN PASSWORD 'pencil' VALID UNTIL '2020-01-01';
             CREATE ROLE staff PASSWORD 'pencil';
             CREATE ROLE bare LOGIN;
             SET password_encryption = 'md5';
             CREATE ROLE old LOGIN PASSWORD 'pencil';
             RESET password_encryption",
        )
        .expect("roles");

    // The challenge is the server's own: the stored salt and count.
    let challenge = "SELECT regexp_replace(server_first, '^r=[^,]*,', '')
                         = format('s=%s,i=%s', encode(p.salt, 'base64'), p.iterations)
                     FROM scram.role_handshake_start('n,,n=,r=abc', 'ann'), pg_authid,
                          scram.parse(rolpassword) p WHERE rolname = 'ann'";
    assert_eq!(cell(&mut client, challenge).as_deref(), Some("t"));

    for (role, password, accepted) in [
        ("ann", "pencil", true),
        ("ann", "wrong", false),
        ("gone", "pencil", false),
        ("staff", "pencil", false),
        ("bare", "pencil", false),
        ("old", "pencil", false),
        ("nobody", "pencil", false),
    ] {
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        let first = String::from_utf8(scram.message().to_vec()).expect("text");
        let start =
            format!("SELECT server_first, state FROM scram.role_handshake_start($1, '{role}')");
        let row = client.query_one(&start, &[&first]).unwrap_or_else(|e| panic!("{role}: {e:?}"));
        scram.update(row.get::<_, &str>(0).as_bytes()).expect("a good server-first");
        let last = String::from_utf8(scram.message().to_vec()).expect("text");
        let finish = "SELECT accepted, username, error, server_final
                      FROM scram.role_handshake_finish($1, $2)";
        let row = client.query_one(finish, &[&row.get::<_, Vec<u8>>(1), &last]).expect("a verdict");
        let found: (bool, Option<&str>, Option<&str>) = (row.get(0), row.get(1), row.get(2));
        let expected =
            if accepted { (true, Some(role), None) } else { (false, None, Some("invalid-proof")) };
        assert_eq!(found, expected, "{role}, {password}");
        assert_eq!(scram.finish(row.get::<_, &str>(3).as_bytes()).is_ok(), accepted, "{role}");
    }

    // A state of the other pair of functions is another key's.
    let mixed = "SELECT scram.handshake_finish(state, 'c=biws,r=abc,p=AAAA', NULL)
                 FROM scram.role_handshake_start('n,,n=,r=abc', 'ann')";
    assert_eq!(Raised::by(&mut client, mixed).code, "22023");
}

/// The server's message is longer than any that PostgreSQL reads from a client.
#[test]
fn the_longest_salt_is_read() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let sql = "WITH v AS (SELECT scram.generate('pencil', mechanism => 'SCRAM-SHA-512', salt_length => 1024) AS verifier),
        m AS (SELECT array_agg(message ORDER BY step) AS m FROM v, scram.handshake('pencil', verifier))
        SELECT length(m[2]) > 1024 AND bool_and(c.ok)
        FROM v, m, scram.check_transcript(verifier, m[1], m[2], m[3], m[4]) c GROUP BY m";
    assert_eq!(cell(&mut client, sql).as_deref(), Some("t"));
}

#[test]
fn an_unknown_user_looks_like_a_known_one() {
    let mut cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let answer = |client: &mut Client, name: &str| {
        let sql = format!(
            "SELECT regexp_replace(server_first, '^r=[^,]*,', '')
             FROM scram.handshake_start('n,,n={name},r=abc', NULL)"
        );
        cell(client, &sql).expect("an answer")
    };
    let nobody = answer(&mut client, "nobody");
    assert_eq!(nobody, answer(&mut client, "nobody"), "the salt stays");
    assert_ne!(nobody, answer(&mut client, "nemo"), "each name has its own salt");
    // The same shape as `generate` makes: 16 bytes of salt, the target's count.
    assert_eq!(nobody.len(), "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".len(), "{nobody}");
    assert!(nobody.ends_with("==,i=4096"), "{nobody}");

    client.batch_execute("SET scram.default_iterations = 12345").expect("a setting");
    assert!(answer(&mut client, "nobody").ends_with(",i=12345"), "the target's count");

    cluster.restart();
    assert_eq!(answer(&mut cluster.client(), "nobody"), nobody, "the salt survives a restart");
}

#[test]
fn what_a_client_gets_wrong_is_answered_not_raised() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for (first, error) in [
        ("", "invalid-encoding"),
        ("n,,n=user", "invalid-encoding"),
        ("n,,n=,r=abc", "invalid-username-encoding"),
        ("n,,n=a=b,r=abc", "invalid-username-encoding"),
        ("n,,m=x,n=user,r=abc", "extensions-not-supported"),
        ("p=tls-unique,,n=user,r=abc", "channel-binding-not-supported"),
        ("n,a=other,n=user,r=abc", "other-error"),
    ] {
        let start = "SELECT server_first, state, error FROM scram.handshake_start($1, NULL)";
        let row = client.query_one(start, &[&first]).unwrap_or_else(|e| panic!("{first}: {e:?}"));
        let found: (Option<String>, Option<Vec<u8>>, Option<String>) =
            (row.get(0), row.get(1), row.get(2));
        assert_eq!(found, (None, None, Some(error.to_owned())), "{first}");
    }

    let good = "c=biws,r={nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (last, error) in [
        (good.to_owned(), "invalid-proof"),
        (String::new(), "invalid-encoding"),
        (good.replace("biws", "eSws"), "channel-bindings-dont-match"),
        (good.replace("{nonce}", "abcd"), "other-error"),
        (good.replace(",p=A", ",p="), "invalid-encoding"),
        (good.replace(",p=", ",m=x,p="), "extensions-not-supported"),
    ] {
        let sql = format!(
            "SELECT f.* FROM scram.handshake_start('n,,n=user,r=abc', scram.generate('x')) s,
             scram.handshake_finish(s.state, replace('{last}', '{{nonce}}',
                 substring(s.server_first from '^r=([^,]*)')), NULL) f"
        );
        let text = |value: &str| Some(value.to_owned());
        let expected = [text("f"), text(&format!("e={error}")), None, text(error), None];
        assert_eq!(rows(&mut client, &sql), [expected], "{last}");
    }
}

#[test]
fn another_session_finishes_what_one_began() {
    let cluster = Cluster::with_extension();
    let mut one = cluster.client();
    let mut two = cluster.client();
    let mut scram = ScramSha256::new(b"pencil", ChannelBinding::unsupported());
    let verifier = cell(&mut one, "SELECT scram.generate('pencil')").expect("a verifier");
    let first = String::from_utf8(scram.message().to_vec()).expect("text");
    let start = "SELECT server_first, state FROM scram.handshake_start($1, $2, 'ann')";
    let row = one.query_one(start, &[&first, &verifier]).expect("a challenge");
    scram.update(row.get::<_, &str>(0).as_bytes()).expect("a good server-first");
    let last = String::from_utf8(scram.message().to_vec()).expect("text");
    let finish = "SELECT accepted FROM scram.handshake_finish($1, $2, $3)";
    let row = two.query_one(finish, &[&row.get::<_, Vec<u8>>(1), &last, &verifier]);
    assert!(row.expect("a verdict").get::<_, bool>(0), "another session finishes what one began");
}
