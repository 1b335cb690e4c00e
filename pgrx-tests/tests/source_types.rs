//! The kinds of relation and types of column that a source may have, and the values that the audit
//! reads from them.

use scram_ext_client_tests::{Cluster, Raised, cell, rows, text};

/// A type and a value; the name under which the audit shows it.
const SUBJECTS: &[(&str, &str, &str)] = &[
    ("text", "'text'", "text"),
    ("varchar(20)", "'varchar'", "varchar"),
    ("char(20)", "'padded'", "padded"),
    ("name", "'a name'", "a name"),
    ("integer", "-7", "-7"),
    ("bigint", "9007199254740993", "9007199254740993"),
    ("numeric", "1.50", "1.50"),
    ("double precision", "0.1", "0.1"),
    ("uuid", "'00000000-0000-4000-8000-00000000000a'", "00000000-0000-4000-8000-00000000000a"),
    ("inet", "'10.0.0.1/8'", "10.0.0.1/8"),
    ("date", "'2026-02-03'", "2026-02-03"),
    ("timestamptz", "'2026-02-03 04:05:06+02'", "2026-02-03 02:05:06+00"),
    ("interval", "'1 day 2 hours'", "1 day 02:00:00"),
    ("boolean", "true", "t"),
    ("text[]", "ARRAY['a', 'b c']", "{a,\"b c\"}"),
    ("int4range", "'[1,3)'", "[1,3)"),
    ("mood", "'happy'", "happy"),
    ("mood[]", "'{happy,sad}'", "{happy,sad}"),
    ("bytea", "'raw bytes'", "raw bytes"),
    ("bytea", r"'\x610062'", r"a\x00b"),
    ("json", r#"'{"a": 1}'"#, r#"{"a": 1}"#),
    ("jsonb", r#"'{"a":1}'"#, r#"{"a": 1}"#),
    ("short", "'domain'", "domain"),
];

#[test]
fn subjects_of_every_type_of_the_server_are_shown() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TYPE mood AS ENUM ('happy', 'sad');
             CREATE DOMAIN short AS varchar CHECK (length(VALUE) < 10);
             CREATE TYPE pair AS (a text, b text);
             CREATE EXTENSION citext;
             SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET intervalstyle = 'iso_8601';
             SET extra_float_digits = -10; SET bytea_output = 'escape'",
        )
        .expect("types");
    for (number, (type_name, value, shown)) in SUBJECTS.iter().enumerate() {
        client
            .batch_execute(&format!(
                "CREATE TABLE t{number} (who {type_name}, secret text);
                 INSERT INTO t{number} VALUES ({value}, 'plain');
                 SELECT scram.add_audit_source('s', 't{number}', 'who', 'secret')"
            ))
            .unwrap_or_else(|error| panic!("{type_name}: {error:?}"));
        let found = rows(&mut client, "SELECT subject FROM scram.audit() WHERE source = 's'");
        assert_eq!(found, [[text(shown)]], "{type_name} {value}");
        client.batch_execute("SELECT scram.drop_audit_source('s')").expect("dropped");
    }
    // Printed by functions of an extension, or by those of its columns.
    for type_name in ["citext", "citext[]", "pair", "pair[]"] {
        client
            .batch_execute(&format!("CREATE TABLE refused (who {type_name}, secret text)"))
            .expect("a table");
        let add = "SELECT scram.add_audit_source('s', 'refused', 'who', 'secret')";
        let raised = Raised::by(&mut client, add);
        assert_eq!(raised.code, "42804", "{type_name}: {raised:?}");
        assert!(raised.hint.expect("a way out").contains("materialized view"), "{type_name}");
        client.batch_execute("DROP TABLE refused").expect("dropped");
    }
}

/// A document that is JSON's null holds no password; the text `null` in quotes is one.
#[test]
fn a_null_of_json_is_no_secret() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for type_name in ["json", "jsonb"] {
        client
            .batch_execute(&format!(
                "CREATE TABLE t_{type_name} (who text, secret {type_name});
                 INSERT INTO t_{type_name} VALUES ('none', ' null '), ('word', '\"null\"');
                 SELECT scram.add_audit_source('{type_name}', 't_{type_name}', 'who', 'secret')"
            ))
            .expect("a source");
        let found = format!("SELECT subject FROM scram.audit() WHERE source = '{type_name}'");
        assert_eq!(cell(&mut client, &found).as_deref(), Some("word"), "{type_name}");
    }
}

/// `{}` is a verifier of the password `pencil`.
const SECRETS: &[(&str, &str)] = &[
    ("text", "{}"),
    ("varchar", "{}"),
    ("char(200)", "{}"),
    ("scram.verifier", "{}"),
    ("hash", "{}"),
    ("bytea", "convert_to({}, 'UTF8')"),
    (
        "json",
        "json_build_object('SCRAM-SHA-256', json_build_object('iterationCount', 4096,
         'salt', 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==',
         'storedKey', split_part(split_part({}, '$', 3), ':', 1),
         'serverKey', split_part({}, ':', 3)))",
    ),
    (
        "jsonb",
        "jsonb_build_object('SCRAM-SHA-256', json_build_object('iterationCount', 4096,
         'salt', 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==',
         'storedKey', split_part(split_part({}, '$', 3), ':', 1),
         'serverKey', split_part({}, ':', 3)))",
    ),
];

#[test]
fn secrets_of_each_type_are_read() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE DOMAIN hash AS text CHECK (VALUE <> '');
             INSERT INTO scram.wordlist VALUES ('pencil');
             CREATE TABLE made AS SELECT scram.generate('pencil',
                 salt => decode('AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==', 'base64')) AS verifier",
        )
        .expect("a verifier");
    for (number, (type_name, value)) in SECRETS.iter().enumerate() {
        let value = value.replace("{}", "verifier");
        client
            .batch_execute(&format!(
                "CREATE TABLE t{number} (id integer, secret {type_name});
                 INSERT INTO t{number} SELECT 1, {value} FROM made;
                 INSERT INTO t{number} VALUES (2, NULL);
                 SELECT scram.add_audit_source('s{number}', 't{number}', 'id', 'secret')"
            ))
            .unwrap_or_else(|error| panic!("{type_name}: {error:?}"));
    }
    client.batch_execute("CALL scram.run_audit()").expect("a run");
    let found = "SELECT source, subject FROM scram.audit_finding
                 WHERE check_id = 'password_in_wordlist' ORDER BY source";
    let expected: Vec<_> =
        (0..SECRETS.len()).map(|number| vec![text(&format!("s{number}")), text("1")]).collect();
    assert_eq!(rows(&mut client, found), expected);

    for type_name in ["integer", "name", "text[]", "uuid", "xml"] {
        client
            .batch_execute(&format!("CREATE TABLE refused (who text, secret {type_name})"))
            .expect("a table");
        let add = "SELECT scram.add_audit_source('s', 'refused', 'who', 'secret')";
        assert_eq!(Raised::by(&mut client, add).code, "42804", "{type_name}");
        client.batch_execute("DROP TABLE refused").expect("dropped");
    }
}

/// Children have their columns in another order and with other numbers.
#[test]
fn partitions_and_children_are_read_with_their_own_column_numbers() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE parted (a integer, who text, secret text) PARTITION BY LIST (who);
             ALTER TABLE parted DROP COLUMN a;
             CREATE TABLE p1 (secret text, x integer, who text);
             ALTER TABLE p1 DROP COLUMN x;
             ALTER TABLE parted ATTACH PARTITION p1 FOR VALUES IN ('one');
             CREATE TABLE p2 PARTITION OF parted FOR VALUES IN ('two') PARTITION BY LIST (secret);
             CREATE TABLE p2a PARTITION OF p2 FOR VALUES IN ('plain');
             INSERT INTO parted VALUES ('one', 'plain'), ('two', 'plain');
             CREATE TABLE parent (who text, secret text);
             CREATE TABLE child (extra integer, secret text, who text);
             ALTER TABLE child INHERIT parent;
             CREATE TABLE grandchild (more text) INHERITS (child);
             INSERT INTO parent VALUES ('parent', 'plain');
             INSERT INTO child VALUES (1, 'plain', 'child');
             INSERT INTO grandchild VALUES (1, 'plain', 'grandchild');
             DELETE FROM parent WHERE who = 'nobody';
             CREATE MATERIALIZED VIEW materialized AS SELECT 'm'::text AS who, 'plain'::text AS secret;
             CREATE UNLOGGED TABLE unlogged AS SELECT 'u'::text AS who, 'plain'::text AS secret;
             SELECT scram.add_audit_source(t, t, 'who', 'secret')
             FROM unnest('{parted,parent,materialized,unlogged}'::text[]) t",
        )
        .expect("relations");
    let found = "SELECT source, subject FROM scram.audit() WHERE check_id = 'password_plain_text' ORDER BY 1, 2";
    let expected = [
        ["materialized", "m"],
        ["parent", "child"],
        ["parent", "grandchild"],
        ["parent", "parent"],
        ["parted", "one"],
        ["parted", "two"],
        ["unlogged", "u"],
    ];
    assert_eq!(rows(&mut client, found), expected.map(|row| row.map(text).to_vec()));
    client.batch_execute("DROP TABLE grandchild; DROP TABLE p1").expect("dropped");
    assert_eq!(rows(&mut client, found).len(), expected.len() - 2);
}

/// A value that is too long is not read, and the finding says so; its neighbours are.
#[test]
fn values_of_any_length_are_bounded() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE users (who text, secret text);
             INSERT INTO users VALUES ('long', repeat('x', 200000000)),
                 (repeat('y', 200000000), 'plain'), ('edge', repeat('x', 65536)),
                 ('over', repeat('x', 65537)), ('short', 'plain');
             SELECT scram.add_audit_source('s', 'users', 'who', 'secret')",
        )
        .expect("rows");
    let plain = "no form that is known: plain text must be assumed";
    let unread = |bytes: u32| format!("{bytes} bytes, longer than any stored secret: not read");
    let expected = [
        ["a name (200000000 bytes, shortened)", plain],
        ["edge", plain],
        ["long", &unread(200_000_000)],
        ["over", &unread(65537)],
        ["short", plain],
    ]
    .map(|row| row.map(text).to_vec());
    let found = |table: &str| {
        format!("SELECT subject, evidence FROM {table} WHERE source = 's' ORDER BY 1")
    };
    assert_eq!(rows(&mut client, &found("scram.audit()")), expected);
    client.batch_execute("CALL scram.run_audit()").expect("a run");
    assert_eq!(rows(&mut client, &found("scram.audit_finding")), expected);
    let status = "SELECT status FROM scram.audit_run";
    assert_eq!(cell(&mut client, status).as_deref(), Some("done"));
}
