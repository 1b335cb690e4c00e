//! Ways to stored hashes: grants, memberships, and SECURITY DEFINER functions and views, as poolers use them for
//! `auth_query`.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Feature, rows, text};

#[test]
fn functions_that_return_hashes_are_found() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            r#"CREATE ROLE pooler LOGIN;
               CREATE ROLE "Other" LOGIN;
               CREATE ROLE reader LOGIN;
               GRANT SELECT ON pg_shadow TO reader;
               CREATE SCHEMA hidden;
               CREATE FUNCTION lookup(u text, OUT n text, OUT p text) LANGUAGE sql SECURITY DEFINER
                   AS 'SELECT usename, passwd FROM pg_shadow WHERE usename = u';
               CREATE FUNCTION closed(text) RETURNS text LANGUAGE sql SECURITY DEFINER
                   AS 'SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1';
               REVOKE EXECUTE ON FUNCTION closed FROM PUBLIC;
               CREATE FUNCTION granted(text) RETURNS SETOF pg_shadow LANGUAGE plpgsql SECURITY DEFINER
                   AS 'BEGIN RETURN QUERY SELECT s.* FROM PG_SHADOW s WHERE s.usename = $1; END';
               REVOKE EXECUTE ON FUNCTION granted FROM PUBLIC;
               GRANT EXECUTE ON FUNCTION granted TO pooler, "Other", reader;
               CREATE FUNCTION parsed() RETURNS text LANGUAGE sql SECURITY DEFINER
                   RETURN (SELECT passwd FROM pg_shadow LIMIT 1);
               -- Harmless: as the caller, without hashes, in a closed schema, by a role that cannot read them.
               CREATE FUNCTION as_caller() RETURNS text LANGUAGE sql
                   AS 'SELECT passwd FROM pg_shadow LIMIT 1';
               CREATE FUNCTION counting() RETURNS bigint LANGUAGE sql SECURITY DEFINER
                   AS 'SELECT count(*) FROM pg_authid';
               CREATE FUNCTION hidden.lookup() RETURNS text LANGUAGE sql SECURITY DEFINER
                   AS 'SELECT passwd FROM pg_shadow LIMIT 1';
               CREATE FUNCTION powerless() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
                   AS 'BEGIN RETURN (SELECT passwd FROM pg_shadow LIMIT 1); END';
               ALTER FUNCTION powerless() OWNER TO pooler"#,
        )
        .expect("functions");
    assert_found(
        &mut client,
        [
            ["function public.granted(text)", "notice", r#""Other", "pooler" may call it"#],
            [
                "function public.lookup(u text, OUT n text, OUT p text)",
                "warning",
                "PUBLIC may call it",
            ],
            ["function public.parsed()", "warning", "PUBLIC may call it"],
        ],
    );
}

#[test]
fn views_that_return_hashes_are_found() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            r#"CREATE ROLE pooler LOGIN;
               CREATE ROLE reader LOGIN;
               GRANT SELECT ON pg_shadow TO reader;
               CREATE VIEW login AS SELECT usename, passwd AS secret FROM pg_shadow;
               CREATE VIEW "Whole row" AS SELECT a FROM pg_authid a;
               CREATE MATERIALIZED VIEW copied AS SELECT rolname, rolpassword FROM pg_authid;
               GRANT SELECT ON login TO pooler, reader;
               GRANT SELECT (a) ON "Whole row" TO PUBLIC;
               GRANT SELECT ON copied TO pooler;
               -- Harmless: for no other role, without hashes, as the caller, by a role that cannot read them.
               CREATE VIEW closed AS SELECT passwd FROM pg_shadow;
               CREATE VIEW has_password AS SELECT rolname, rolpassword IS NOT NULL AS yes FROM pg_authid;
               CREATE VIEW names AS SELECT usename FROM pg_shadow;
               CREATE VIEW masked AS SELECT rolpassword FROM pg_roles;
               CREATE VIEW as_caller WITH (security_invoker) AS SELECT passwd FROM pg_shadow;
               CREATE VIEW powerless AS SELECT passwd FROM pg_shadow;
               ALTER VIEW powerless OWNER TO pooler;
               GRANT SELECT ON has_password, names, masked, as_caller, powerless TO PUBLIC"#,
        )
        .expect("views");
    assert_found(
        &mut client,
        [
            ["materialized view public.copied", "notice", "\"pooler\" may read it"],
            ["view public.\"Whole row\"", "warning", "PUBLIC may read it"],
            ["view public.login", "notice", "\"pooler\" may read it"],
        ],
    );
}

/// Exactly these are found on the server: subject, severity, and who may use it.
fn assert_found(client: &mut Client, expected: [[&str; 3]; 3]) {
    let expected = expected.map(|[path, severity, users]| {
        let evidence =
            format!("{path} looks like it returns stored hashes with the rights of \"postgres\", and {users}");
        [path, severity, &evidence].map(text).to_vec()
    });
    let found = "SELECT subject, severity, evidence FROM scram.audit()
                 WHERE source = 'server' AND check_id = 'hash_readable' ORDER BY subject COLLATE \"C\"";
    assert_eq!(rows(client, found), expected);
}

/// The owner of a relation in such a body keeps it locked.
#[test]
fn a_locked_relation_holds_no_audit_up() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE ROLE mallory LOGIN; CREATE SCHEMA AUTHORIZATION mallory")
        .expect("a role");
    let mut mallory = cluster.client_as("mallory", "postgres");
    mallory
        .batch_execute(
            "CREATE TABLE mallory.held (name name);
             CREATE FUNCTION mallory.own() RETURNS bigint LANGUAGE sql SECURITY DEFINER
                 RETURN (SELECT count(*) FROM mallory.held)",
        )
        .expect("a table");
    client
        .batch_execute(
            "CREATE FUNCTION joined() RETURNS text LANGUAGE sql SECURITY DEFINER
                 RETURN (SELECT min(passwd) FROM pg_shadow JOIN mallory.held ON name = usename);
             CREATE VIEW joined AS SELECT substr(s.passwd, 5) AS part FROM pg_shadow s JOIN mallory.held ON name = usename;
             CREATE VIEW tested AS SELECT name, passwd IS NULL AS no FROM pg_shadow JOIN mallory.held ON name = usename;
             GRANT SELECT ON joined, tested TO PUBLIC",
        )
        .expect("a function and views");
    mallory.batch_execute("BEGIN; LOCK TABLE mallory.held").expect("a lock");
    // Ends a test that hangs.
    client.batch_execute("SET statement_timeout = '60 s'").expect("a limit");
    let found = "SELECT subject FROM scram.audit() WHERE check_id = 'hash_readable' ORDER BY 1";
    let expected = ["function public.joined()", "view public.joined"];
    assert_eq!(rows(&mut client, found), expected.map(|subject| vec![text(subject)]));
}

/// Each role that is found can read the hashes, perhaps after SET ROLE; the others cannot.
#[test]
fn roles_that_get_there_by_set_role_are_found() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE readers; GRANT SELECT ON pg_authid TO readers;
             CREATE ROLE inherits IN ROLE readers;
             CREATE ROLE sets NOINHERIT IN ROLE readers;
             CREATE ROLE doubly IN ROLE readers; GRANT SELECT (rolpassword) ON pg_authid TO doubly;
             CREATE ROLE admin NOINHERIT IN ROLE postgres;
             CREATE ROLE neither NOINHERIT;
             CREATE ROLE others; GRANT SELECT (rolname) ON pg_authid TO others; CREATE ROLE member NOINHERIT IN ROLE others",
        )
        .expect("roles");
    // The version that brought the one brought options of memberships too.
    if Feature::AdminOption.is_there() {
        client
            .batch_execute(
                "CREATE ROLE barred; GRANT readers TO barred WITH INHERIT FALSE, SET FALSE",
            )
            .expect("a membership");
    }
    let found = "SELECT subject, split_part(evidence, ';', 1) FROM scram.audit()
                 WHERE check_id = 'hash_readable' AND source = 'role' ORDER BY 1";
    let expected = [
        ["admin", "SET ROLE postgres"],
        ["doubly", "SELECT on pg_authid"],
        ["inherits", "SELECT on pg_authid through readers"],
        ["readers", "SELECT on pg_authid"],
        ["sets", "SET ROLE readers"],
    ];
    assert_eq!(rows(&mut client, found), expected.map(|row| row.map(text).to_vec()));
    for [role, way] in expected {
        let way = if way.starts_with("SET ROLE") { way } else { "" };
        let read = format!("{way}; SELECT count(rolpassword) FROM pg_authid");
        // The server decides about SET ROLE by the session's user.
        client.batch_execute(&format!("ALTER ROLE {role} LOGIN")).expect("LOGIN");
        let mut session = cluster.client_as(role, "postgres");
        session.batch_execute(&read).unwrap_or_else(|error| panic!("{role}: {error}"));
    }
}
