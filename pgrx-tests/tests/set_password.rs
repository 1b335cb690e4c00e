//! Setting and generating passwords of roles: the stored verifier afterwards, and the logins that
//! it accepts.

use postgres::Client;
use scram_ext_client_tests::foreign::{Foreign, Login};
use scram_ext_client_tests::{Cluster, Raised, cell, rows, text, verify_role};

/// The columns of a row that tell whether it was changed.
const ROW: &str = "SELECT concat_ws(' ', xmin, ctid, rolpassword, rolvaliduntil) FROM pg_authid
                   WHERE rolname = 'alice'";

#[test]
fn a_password_that_was_set_logs_in() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE alice LOGIN PASSWORD 'the first one'").expect("a role");
    let mut old = "the first one".to_owned();
    for password in
        ["pencil", "it's \"a\" \\ %s $1", "Zürich, пароль, 密码", "a\u{a0}\u{ad}b\u{fb01}"]
    {
        let set = call(&mut client, "scram.set_role_password('alice', $1)", password);
        assert_eq!(set, ("set".to_owned(), true), "{password}");
        assert_logs_in(&cluster, "alice", password, &old);
        assert_eq!(verify_role(&mut client, "alice", password), Some(true));
        assert_eq!(verify_role(&mut client, "alice", &old), Some(false));
        old = password.to_owned();
    }

    let rotated = cell(&mut client, "SELECT scram.rotate_role('alice')").expect("a password");
    assert_eq!(rotated.len(), 24, "{rotated}");
    assert_logs_in(&cluster, "alice", &rotated, &old);
    let longer = cell(&mut client, "SELECT scram.rotate_role('alice', 256, 5000)").expect("one");
    assert_eq!(longer.len(), 256);
    assert_logs_in(&cluster, "alice", &longer, &rotated);
    let stored =
        "SELECT (scram.parse(rolpassword)).iterations FROM pg_authid WHERE rolname = 'alice'";
    assert_eq!(cell(&mut client, stored).as_deref(), Some("5000"));

    let verifier = cell(&mut client, "SELECT scram.generate('by verifier', 8192)").expect("one");
    let set = call(&mut client, "scram.set_role_verifier('alice', $1)", &verifier);
    assert_eq!(set, ("set".to_owned(), true));
    let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'";
    assert_eq!(cell(&mut client, stored), Some(verifier));
    assert_logs_in(&cluster, "alice", "by verifier", &longer);
}

#[test]
fn random_passwords_are_all_different_and_have_no_look_alikes() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE alice").expect("a role");
    let all = "SELECT scram.rotate_role('alice', 32) FROM generate_series(1, 50)";
    let all = rows(&mut client, all).into_iter().flatten().flatten().collect::<Vec<_>>();
    let mut distinct = all.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((all.len(), distinct.len()), (50, 50));
    let mut seen = all.concat().chars().collect::<Vec<_>>();
    seen.sort_unstable();
    seen.dedup();
    let seen = seen.into_iter().collect::<String>();
    assert_eq!(seen, "347ACDEFHJKLMNPQRTUVWXYacdefhijkmnprtuvwxy");
}

#[test]
fn the_same_password_touches_nothing() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    // Made by the server itself: it need not be ours to fit.
    client.batch_execute("CREATE ROLE alice LOGIN PASSWORD 'pencil'").expect("a role");
    let before = cell(&mut client, ROW);
    let same = [
        "scram.set_role_password('alice', 'pencil')",
        "scram.set_role_password('alice', 'pencil', 4096)",
        "scram.set_role_password('alice', 'pencil', NULL, NULL)",
        "scram.set_role_verifier('alice', (SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'))",
    ];
    for call in same {
        let found = rows(&mut client, &format!("SELECT * FROM {call}"));
        assert_eq!(found, [[text("unchanged"), text("f")]], "{call}");
        assert_eq!(cell(&mut client, ROW), before, "{call}");
    }

    // The policy asks for more: then the same password gets a new verifier.
    for (setting, call) in [
        ("scram.default_iterations = 5000", "scram.set_role_password('alice', 'pencil')"),
        ("scram.salt_length = 20", "scram.set_role_password('alice', 'pencil')"),
        ("scram.min_iterations = 6000", "scram.set_role_password('alice', 'pencil')"),
        ("scram.max_iterations = 5500", "scram.set_role_password('alice', 'pencil', 4096)"),
    ] {
        let before = cell(&mut client, ROW);
        client.batch_execute(&format!("LOAD 'scram_ext'; SET {setting}")).expect(setting);
        let found = rows(&mut client, &format!("SELECT * FROM {call}"));
        assert_eq!(found, [[text("set"), text("t")]], "{setting}");
        assert_ne!(cell(&mut client, ROW), before, "{setting}");
        let found = rows(&mut client, &format!("SELECT * FROM {call}"));
        assert_eq!(found, [[text("unchanged"), text("f")]], "{setting}: again");
        client.batch_execute("RESET ALL").expect("the defaults");
        assert_logs_in(&cluster, "alice", "pencil", "Pencil");
    }
    // More than the target is no worse; unless a count is asked for.
    client.batch_execute("SELECT scram.set_role_password('alice', 'pencil', 20000)").expect("more");
    let found = rows(&mut client, "SELECT * FROM scram.set_role_password('alice', 'pencil')");
    assert_eq!(found, [[text("unchanged"), text("f")]]);
    let found = rows(&mut client, "SELECT * FROM scram.set_role_password('alice', 'pencil', 4096)");
    assert_eq!(found, [[text("set"), text("t")]]);
}

#[test]
fn other_secrets_give_way() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE alice LOGIN").expect("a role");
    let lax =
        "UPDATE pg_authid SET rolpassword = replace(scram.generate('pencil'), '$4096', '$04096')
               WHERE rolname = 'alice'";
    for (name, stored, knows) in [
        ("no password", "ALTER ROLE alice PASSWORD NULL", Some(false)),
        ("md5", "SET password_encryption = 'md5'; ALTER ROLE alice PASSWORD 'pencil'", Some(true)),
        ("lax", lax, Some(true)),
    ] {
        client.batch_execute(stored).expect(name);
        assert_eq!(verify_role(&mut client, "alice", "pencil"), knows, "{name}");
        assert_eq!(verify_role(&mut client, "alice", "pen"), Some(false), "{name}");
        let set = call(&mut client, "scram.set_role_password('alice', $1)", "pencil");
        assert_eq!(set, ("set".to_owned(), true), "{name}");
        assert_eq!(verify_role(&mut client, "alice", "pencil"), Some(true), "{name}");
        assert_logs_in(&cluster, "alice", "pencil", "pen");
    }
}

#[test]
fn valid_until_is_set_with_it() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE ROLE alice LOGIN PASSWORD 'pencil'; SET timezone = 'Asia/Kolkata'; SET datestyle = 'SQL, DMY'")
        .expect("a role");
    let mut expect = |arguments: &str, action: &str, changed: &str, stored: &str| {
        let found = rows(
            &mut client,
            &format!("SELECT * FROM scram.set_role_password('alice', {arguments})"),
        );
        assert_eq!(found, [[text(action), text(changed)]], "{arguments}");
        let query = format!(
            "SELECT rolvaliduntil IS NOT DISTINCT FROM {stored} FROM pg_authid WHERE rolname = 'alice'"
        );
        assert_eq!(cell(&mut client, &query).as_deref(), Some("t"), "{arguments}: not {stored}");
    };
    let day = "'2031-02-03 04:05:06.789+00'::timestamptz";
    expect(&format!("'pencil', valid_until => {day}"), "set", "f", day);
    expect(&format!("'pencil', valid_until => {day}"), "unchanged", "f", day);
    expect("'pencil'", "unchanged", "f", day);
    expect("'pen'", "set", "t", day);
    expect("'pencil', NULL, 'infinity'", "set", "t", "'infinity'");
    expect("'pencil', NULL, '-infinity'", "set", "f", "'-infinity'");
    for odd in
        ["'0044-03-15 12:00:00+00 BC'::timestamptz", "'12345-01-01 00:00:00+00'::timestamptz"]
    {
        expect(&format!("'pencil', NULL, {odd}"), "set", "f", odd);
    }
    assert_eq!(verify_role(&mut client, "alice", "pencil"), Some(true), "in the year 12345");
    client
        .batch_execute("SELECT scram.rotate_role('alice', valid_until => '2020-01-01')")
        .expect("past");
    let query = "SELECT rolvaliduntil < now() FROM pg_authid WHERE rolname = 'alice'";
    assert_eq!(cell(&mut client, query).as_deref(), Some("t"));
}

#[test]
fn a_transaction_that_rolls_back_changes_nothing() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE alice LOGIN PASSWORD 'pencil'").expect("a role");
    let before = cell(&mut client, ROW);
    for call in ["scram.rotate_role('alice')", "scram.set_role_password('alice', 'other')"] {
        client.batch_execute(&format!("BEGIN; SELECT {call}")).expect(call);
        assert_ne!(cell(&mut client, ROW), before, "{call}: visible at once");
        client.batch_execute("ROLLBACK").expect(call);
        assert_eq!(cell(&mut client, ROW), before, "{call}");

        client
            .batch_execute(&format!("BEGIN; SAVEPOINT s; SELECT {call}; ROLLBACK TO s; COMMIT"))
            .expect(call);
        assert_eq!(cell(&mut client, ROW), before, "{call}");
    }
    // A password that was set before the savepoint stays.
    let mixed = "BEGIN; SELECT scram.set_role_password('alice', 'second'); SAVEPOINT s;
                 SELECT scram.set_role_password('alice', 'third'); ROLLBACK TO s; COMMIT";
    client.batch_execute(mixed).expect("a transaction");
    assert_logs_in(&cluster, "alice", "second", "third");
    // A failure inside leaves the transaction usable after a savepoint.
    client.batch_execute("BEGIN; SAVEPOINT s").expect("a savepoint");
    assert_eq!(
        Raised::by(&mut client, "SELECT scram.set_role_password('nobody', 'x')").code,
        "42704"
    );
    client
        .batch_execute("ROLLBACK TO s; SELECT scram.set_role_password('alice', 'fourth'); COMMIT")
        .expect("it goes on");
    assert_logs_in(&cluster, "alice", "fourth", "second");
}

#[test]
fn nothing_is_changed_where_nothing_may_be_written() {
    let cluster = Cluster::builder().hba("local replication all trust").start();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             CREATE ROLE g; CREATE ROLE a IN ROLE g; CREATE ROLE b IN ROLE g;
             SELECT scram.create_rotation('app', 'g', 'a', 'b');
             CREATE ROLE alice LOGIN PASSWORD 'pencil'",
        )
        .expect("roles");
    let standby = cluster.standby();
    let mut on_standby = standby.client();
    for call in [
        "SELECT scram.set_role_password('alice', 'pencil')",
        "SELECT scram.set_role_password('alice', 'other')",
        "SELECT scram.set_role_verifier('alice', scram.generate('x'))",
        "SELECT scram.rotate_role('alice')",
        "SELECT scram.rotate('app')",
        "SELECT scram.finish_rotation('app')",
    ] {
        let read_only = format!("BEGIN READ ONLY; {call}");
        let raised = Raised::by(&mut client, &read_only);
        assert_eq!(raised.code, "25006", "{call}: {raised:?}");
        client.batch_execute("ROLLBACK").expect("the session goes on");
        let raised = Raised::by(&mut on_standby, call);
        assert_eq!(raised.code, "25006", "{call} on a standby: {raised:?}");
    }
    assert_eq!(verify_role(&mut on_standby, "alice", "pencil"), Some(true));
    assert_eq!(verify_role(&mut on_standby, "alice", "pen"), Some(false));
}

#[test]
fn names_are_taken_byte_for_byte() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let long = "n".repeat(63);
    let names = ["Alice", "alice", "a \"quoted\" 'name'", "Zoë", "pass word", "a;b--", &long];
    for name in names {
        let quoted = name.replace('"', "\"\"");
        client
            .batch_execute(&format!("CREATE ROLE \"{quoted}\" LOGIN PASSWORD 'pencil'"))
            .expect(name);
    }
    for name in names {
        let set = "SELECT action FROM scram.set_role_password($1::text::name, 'of ' || $1::text)";
        let action: String = client.query_one(set, &[&name]).expect(name).get(0);
        assert_eq!(action, "set", "{name}");
    }
    for name in names {
        for other in names {
            let knows = verify_role(&mut client, name, &format!("of {other}"));
            assert_eq!(knows, Some(name == other), "{name} with the password of {other}");
        }
    }
}

#[test]
fn names_and_passwords_in_every_encoding() {
    let cluster = Cluster::start();
    let mut admin = cluster.client();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let create = format!(
            "CREATE DATABASE in_{encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        );
        admin.batch_execute(&create).expect(encoding);
        let mut client = cluster.client_as("postgres", &format!("in_{}", encoding.to_lowercase()));
        client
            .batch_execute("CREATE EXTENSION scram_ext; CREATE ROLE \"zoë\" LOGIN")
            .expect("a role");
        assert_eq!(
            call(&mut client, "scram.set_role_password('zoë', $1)", "pässwörd"),
            ("set".to_owned(), true)
        );
        assert_eq!(
            call(&mut client, "scram.set_role_password('zoë', $1)", "pässwörd"),
            ("unchanged".to_owned(), false)
        );
        assert_eq!(verify_role(&mut client, "zoë", "pässwörd"), Some(true), "{encoding}");
        assert_eq!(verify_role(&mut client, "zoé", "pässwörd"), Some(false), "{encoding}");
        let raised = Raised::by(&mut client, "SELECT scram.rotate_role('zoé')");
        assert_eq!(raised.code, "42704", "{encoding}: {raised:?}");
        // The server hashes these bytes to the same.
        let same =
            "SELECT scram.verify('pässwörd', rolpassword) FROM pg_authid WHERE rolname = 'zoë'";
        client.batch_execute("ALTER ROLE \"zoë\" PASSWORD 'pässwörd'").expect("ALTER ROLE");
        assert_eq!(cell(&mut client, same).as_deref(), Some("t"), "{encoding}");
        assert_eq!(
            call(&mut client, "scram.set_role_password('zoë', $1)", "pässwörd").0,
            "unchanged"
        );
        client.batch_execute("DROP ROLE \"zoë\"").expect("no role");
    }
}

/// Calls a function with OUT arguments and one parameter.
fn call(client: &mut Client, call: &str, parameter: &str) -> (String, bool) {
    let row = client.query_one(&format!("SELECT * FROM {call}"), &[&parameter]);
    let row = row.unwrap_or_else(|error| panic!("{call}: {error:?}"));
    (row.get("action"), row.get("verifier_changed"))
}

/// Logs in with libpq and with clients that have their own SCRAM code.
fn assert_logs_in(cluster: &Cluster, role: &str, password: &str, wrong: &str) {
    for client in [Foreign::Psql, Foreign::Pg8000, Foreign::RustPostgres] {
        assert_eq!(client.login(cluster.port(), role, password, false), Login::In, "{client:?}");
        assert_eq!(client.login(cluster.port(), role, wrong, false), Login::Refused, "{client:?}");
    }
}
