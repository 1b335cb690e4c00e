//! The sealed state between the two calls: where it is taken, where it is not, and for how long.

use postgres::Client;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use scram_ext_client_tests::{Cluster, Raised, cell, until};

/// The state that a front end keeps between the calls, and the client's last message.
struct Begun {
    state: Vec<u8>,
    client_final: String,
}

const START: &str = "SELECT server_first, state FROM scram.handshake_start($1, $2, 'ann')";
const START_ROLE: &str =
    "SELECT server_first, state FROM scram.role_handshake_start($1, $2::text::name)";
const FINISH: &str = "SELECT accepted, error FROM scram.handshake_finish($1, $2, $3)";
const FINISH_ROLE: &str = "SELECT accepted, error FROM scram.role_handshake_finish($1, $2)";

#[test]
fn a_state_is_good_on_a_standby_and_nowhere_else() {
    let primary = Cluster::builder().hba("local replication all trust").start();
    let mut client = primary.client();
    client
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             CREATE ROLE ann LOGIN PASSWORD 'pencil'",
        )
        .expect("a role");
    let verifier = cell(&mut client, "SELECT scram.generate('pencil')").expect("a verifier");
    let standby = primary.standby();
    let stranger = Cluster::with_extension();

    let servers = [("primary", &primary), ("standby", &standby)];
    for (from, start) in servers {
        for (to, finish) in servers {
            let begun = begin(&mut start.client(), START, &verifier, "pencil");
            let verdict = end(&mut finish.client(), &begun, &verifier);
            assert_eq!(verdict, (true, None), "from the {from} to the {to}");
            let wrong = begin(&mut start.client(), START, &verifier, "wrong");
            let verdict = end(&mut finish.client(), &wrong, &verifier);
            assert_eq!(verdict, refused("invalid-proof"), "from the {from} to the {to}");

            let begun = begin(&mut start.client(), START_ROLE, "ann", "pencil");
            let row = finish.client().query_one(FINISH_ROLE, &[&begun.state, &begun.client_final]);
            assert!(row.expect("a verdict").get::<_, bool>(0), "from the {from} to the {to}");
        }
    }
    // An unknown user is given the same salt everywhere.
    let salt = "SELECT regexp_replace(server_first, '^r=[^,]*', '')
                FROM scram.handshake_start('n,,n=nobody,r=abc', NULL)";
    let on_primary = cell(&mut client, salt);
    assert_eq!(cell(&mut standby.client(), salt), on_primary);
    assert_ne!(cell(&mut stranger.client(), salt), on_primary);

    let begun = begin(&mut client, START, &verifier, "pencil");
    let foreign = "SELECT scram.handshake_finish($1, $2, $3)";
    let error = stranger
        .client()
        .query_one(foreign, &[&begun.state, &begun.client_final, &verifier])
        .expect_err("a state of another cluster");
    assert_eq!(error.as_db_error().map(|error| error.code().code()), Some("22023"));

    // The audit can read on a standby. A run writes, so it fails there.
    let mut on_standby = standby.client();
    cell(&mut on_standby, "SELECT count(*) FROM scram.audit()");
    assert_eq!(Raised::by(&mut on_standby, "CALL scram.run_audit()").code, "25006");
}

#[test]
fn altered_and_mixed_up_states() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE ann LOGIN PASSWORD 'pencil'").expect("a role");
    let verifier = cell(&mut client, "SELECT scram.generate('pencil')").expect("a verifier");
    let good = begin(&mut client, START, &verifier, "pencil");
    let other = begin(&mut client, START, &verifier, "pencil");
    let role = begin(&mut client, START_ROLE, "ann", "pencil");

    // The other's state is in order, but its nonce is not this message's.
    let swapped = Begun { state: other.state.clone(), client_final: good.client_final.clone() };
    assert_eq!(end(&mut client, &swapped, &verifier), refused("other-error"));
    assert_eq!(end(&mut client, &good, &verifier), (true, None));
    // Sealed, not consumed.
    assert_eq!(end(&mut client, &good, &verifier), (true, None));

    let raised = |client: &mut Client, state: &[u8]| {
        client
            .query_one(
                "SELECT scram.handshake_finish($1, $2, $3)",
                &[&state, &good.client_final, &verifier],
            )
            .expect_err("a state that was never made")
            .as_db_error()
            .map(|error| error.code().code().to_owned())
    };
    for position in 0..good.state.len() {
        let mut altered = good.state.clone();
        altered[position] ^= 0x20;
        assert_eq!(raised(&mut client, &altered).as_deref(), Some("22023"), "byte {position}");
    }
    for state in [&[][..], &good.state[..40], &[good.state.as_slice(), b"x"].concat(), &role.state]
    {
        assert_eq!(raised(&mut client, state).as_deref(), Some("22023"));
    }
}

#[test]
fn a_state_has_its_time() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let verifier = cell(&mut client, "SELECT scram.generate('pencil')").expect("a verifier");
    let begun = begin(&mut client, START, &verifier, "pencil");
    assert_eq!(end(&mut client, &begun, &verifier), (true, None));
    client.batch_execute("SET scram.handshake_timeout = '1s'").expect("a setting");
    until("the state is too old", || {
        (end(&mut client, &begun, &verifier) == refused("other-error")).then_some(())
    });
    client.batch_execute("RESET scram.handshake_timeout").expect("a setting");
    assert_eq!(end(&mut client, &begun, &verifier), (true, None), "it was only the time");
}

/// A role that can log in when the exchange begins and cannot when it ends.
#[test]
fn a_role_is_looked_up_again() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for meanwhile in [
        "ALTER ROLE ann NOLOGIN",
        "ALTER ROLE ann VALID UNTIL '2020-01-01'",
        "ALTER ROLE ann PASSWORD 'pencil'",
        "ALTER ROLE ann PASSWORD NULL",
        "ALTER ROLE ann RENAME TO anna",
        "DROP ROLE ann",
    ] {
        client
            .batch_execute(
                "DROP ROLE IF EXISTS ann, anna;
                 CREATE ROLE ann LOGIN PASSWORD 'pencil'",
            )
            .expect("a role");
        let begun = begin(&mut client, START_ROLE, "ann", "pencil");
        let finish = |client: &mut Client| {
            let row = client.query_one(FINISH_ROLE, &[&begun.state, &begun.client_final]);
            let row = row.expect("a verdict");
            (row.get::<_, bool>(0), row.get::<_, Option<String>>(1))
        };
        assert_eq!(finish(&mut client), (true, None), "before {meanwhile}");
        client.batch_execute(meanwhile).expect(meanwhile);
        assert_eq!(finish(&mut client), refused("invalid-proof"), "after {meanwhile}");
    }
}

/// The server truncates a name that is too long, so the user logs in as the role with the truncated
/// name.
#[test]
fn a_name_that_is_too_long_comes_back_as_the_role() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let role = "r".repeat(63);
    client.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'pencil'")).expect("a role");
    let first = format!("n,,n={role}ZZZZ,r=abc");
    let sql = "SELECT server_first, state FROM scram.role_handshake_start($1)";
    let row = client.query_one(sql, &[&first]).expect("a challenge");
    // The extension's own function makes the proof, because only the name is tested here.
    let client_final: String = client
        .query_one(
            "SELECT message FROM scram.handshake('pencil', (SELECT rolpassword FROM pg_authid WHERE rolname = $1),
                 $1 || 'ZZZZ', client_nonce => 'abc',
                 server_nonce => substring($2 from '^r=abc([^,]*)')) WHERE step = 3",
            &[&role, &row.get::<_, &str>(0)],
        )
        .expect("client-final")
        .get(0);
    let sql = "SELECT accepted, username FROM scram.role_handshake_finish($1, $2)";
    let row =
        client.query_one(sql, &[&row.get::<_, Vec<u8>>(1), &client_final]).expect("a verdict");
    assert_eq!((row.get::<_, bool>(0), row.get::<_, Option<&str>>(1)), (true, Some(&*role)));
}

/// Plays a client up to its final message. `account`: a verifier or a role.
fn begin(client: &mut Client, start: &str, account: &str, password: &str) -> Begun {
    let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let first = String::from_utf8(scram.message().to_vec()).expect("text");
    let row = client.query_one(start, &[&first, &account]).expect("a challenge");
    scram.update(row.get::<_, &str>(0).as_bytes()).expect("a good server-first");
    let client_final = String::from_utf8(scram.message().to_vec()).expect("text");
    Begun { state: row.get(1), client_final }
}

fn end(client: &mut Client, begun: &Begun, verifier: &str) -> (bool, Option<String>) {
    let row = client.query_one(FINISH, &[&begun.state, &begun.client_final, &verifier]);
    let row = row.expect("a verdict");
    (row.get(0), row.get(1))
}

fn refused(error: &str) -> (bool, Option<String>) {
    (false, Some(error.to_owned()))
}
