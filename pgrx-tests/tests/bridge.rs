//! Real clients log in through a bridge that asks only the extension: right and wrong password,
//! known and unknown user, with and without TLS, behind a pooler; and the same on the server's own
//! port.

use scram_ext_client_tests::foreign::{Foreign, Login, scramp};
use scram_ext_client_tests::{Bridge, Cluster, Pooler, Users};

/// Users of a table: name, password, how the verifier is made.
const ACCOUNTS: &[(&str, &str, &str)] = &[
    ("ann", "correct horse battery staple", "scram.generate($1)"),
    ("Bob, =x", "p,a=s=2C", "scram.generate($1, 10000)"),
    ("zoë", "пароль \u{1F511}", "scram.generate($1, 4096, '\\x00112233445566778899aabb')"),
];

#[test]
fn users_of_a_table_through_every_client() {
    let cluster = cluster();
    let ask = (cluster.dir(), cluster.port());
    for tls in [false, true] {
        let bridge = Bridge::start(&cluster, Users::Table, ask, tls);
        for client in Foreign::ALL.into_iter().filter(|client| !tls || client.has_tls()) {
            let login = |user, password| client.login(bridge.port(), user, password, tls);
            let (user, password, _) = ACCOUNTS[0];
            let how = format!("{client:?}, TLS {tls}");
            assert_eq!(login(user, password), Login::In, "{how}: the right password");
            assert_eq!(login(user, "wrong"), Login::Refused, "{how}: a wrong password");
            assert_eq!(login("nobody", password), Login::Refused, "{how}: an unknown user");
        }
        // Names and passwords that need escapes and preparation, where it is cheap.
        for (user, password, _) in ACCOUNTS {
            for client in [Foreign::Psql, Foreign::Psycopg] {
                let login = |password| client.login(bridge.port(), user, password, tls);
                assert_eq!(login(password), Login::In, "{client:?} as {user}");
                assert_eq!(login("wrong"), Login::Refused, "{client:?} as {user}");
            }
        }
    }
}

/// Roles of every kind: name, options of CREATE ROLE, password.
const ROLES: &[(&str, &str, &str)] = &[
    ("plain", "LOGIN PASSWORD 'secret'", "secret"),
    ("other_password", "LOGIN PASSWORD 'another'", "secret"),
    ("superuser", "SUPERUSER LOGIN PASSWORD 'secret'", "secret"),
    ("locked", "NOLOGIN PASSWORD 'secret'", "secret"),
    ("expired", "LOGIN PASSWORD 'secret' VALID UNTIL '2020-01-01'", "secret"),
    ("in_time", "LOGIN PASSWORD 'secret' VALID UNTIL '2999-01-01'", "secret"),
    ("for_ever", "LOGIN PASSWORD 'secret' VALID UNTIL 'infinity'", "secret"),
    ("without_password", "LOGIN", "secret"),
    ("md5", "LOGIN PASSWORD 'md5f64bbf1ba9e9eb8d1f8a0dcdd6f5d4ce'", "secret"),
    ("Quoted \"Name\"", "LOGIN PASSWORD 'secret'", "secret"),
    ("preparation", "LOGIN PASSWORD U&'I\\00ADX'", "IX"),
];

#[test]
fn roles_get_the_same_answer_as_on_the_servers_own_port() {
    let cluster = cluster();
    let mut session = cluster.client();
    for (name, options, _) in ROLES {
        session
            .batch_execute(&format!("CREATE ROLE \"{}\" {options}", name.replace('"', "\"\"")))
            .expect(name);
    }
    let ask = (cluster.dir(), cluster.port());
    // Superusers can log in on the server's own port only, unless a superuser allows more.
    let bridge = Bridge::start(&cluster, Users::Roles, ask, false);
    let by_default = Foreign::Psql.login(bridge.port(), "superuser", "secret", false);
    assert_eq!(by_default, Login::Refused);
    session
        .batch_execute("ALTER DATABASE postgres SET scram.authenticate_superusers = on")
        .expect("a setting");
    let bridge = Bridge::start(&cluster, Users::Roles, ask, false);
    let mut let_in = 0;
    for client in Foreign::ALL {
        for (name, _, password) in ROLES.iter().chain([&("missing", "", "secret")]) {
            let at_bridge = client.login(bridge.port(), name, password, false);
            let at_server = client.login(cluster.port(), name, password, false);
            assert_eq!(at_bridge, at_server, "{client:?} as {name}");
            let_in += usize::from(at_bridge == Login::In);
        }
    }
    // Six of the roles can log in; a bridge that says no to all would agree on the others too.
    assert_eq!(let_in, 6 * Foreign::ALL.len());
}

#[test]
fn a_pooler_in_between_does_not_matter() {
    let cluster = cluster();
    let pooler = Pooler::start(&cluster, "gateway");
    let bridge = Bridge::start(&cluster, Users::Table, (pooler.dir(), pooler.port()), false);
    let (user, password, _) = ACCOUNTS[0];
    for client in [Foreign::Psql, Foreign::RustPostgres] {
        // More logins than the pooler has sessions, so that the two calls meet different ones.
        for _ in 0..8 {
            let login = |user, password| client.login(bridge.port(), user, password, false);
            assert_eq!(login(user, password), Login::In, "{client:?}");
            assert_eq!(login(user, "wrong"), Login::Refused, "{client:?}");
            assert_eq!(login("nobody", password), Login::Refused, "{client:?}");
        }
    }
}

/// Mechanisms that no client of PostgreSQL speaks.
#[test]
fn an_independent_client_for_every_mechanism() {
    let cluster = cluster();
    let mut session = cluster.client();
    let socket = (cluster.dir(), cluster.port());
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        session
            .execute(
                "UPDATE account SET secret = scram.generate('pencil', mechanism => $1) WHERE name = 'ann'",
                &[&mechanism],
            )
            .expect("a verifier");
        for binding in ["-", "tls-server-end-point", "tls-unique"] {
            let name =
                if binding == "-" { mechanism.to_owned() } else { format!("{mechanism}-PLUS") };
            let login = |user, password| scramp(socket, &name, user, password, binding);
            assert_eq!(login("ann", "pencil"), Login::In, "{name} {binding}");
            assert_eq!(login("ann", "Pencil"), Login::Refused, "{name} {binding}");
            assert_eq!(login("nobody", "pencil"), Login::Refused, "{name} {binding}");
        }
    }
}

/// A server whose accounts are in a table, and the role that a gateway would have.
fn cluster() -> Cluster {
    let cluster = Cluster::with_extension();
    let mut session = cluster.client();
    session
        .batch_execute(
            "CREATE ROLE gateway LOGIN;
             GRANT EXECUTE ON FUNCTION scram.handshake_start, scram.handshake_finish,
                 scram.role_handshake_start, scram.role_handshake_finish TO gateway;
             CREATE TABLE account (name text PRIMARY KEY, secret scram.verifier NOT NULL);
             GRANT SELECT ON account TO gateway;
             CREATE ROLE application LOGIN",
        )
        .expect("the gateway");
    for (name, password, generate) in ACCOUNTS {
        session
            .execute(&format!("INSERT INTO account VALUES ($2, {generate})"), &[password, name])
            .expect(name);
    }
    cluster
}
