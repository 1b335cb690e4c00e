//! Attacks through privileges: default privileges of new objects, and roles that can read hashes in
//! places other than pg_authid.

use postgres::Client;
use scram_ext_client_tests::{Cluster, cell, rows, text};

/// Every right on every object of the extension, by name, and those that a dump takes for the initial
/// ones.
const RIGHTS: &str = "
    WITH member AS (
        SELECT d.classid, d.objid FROM pg_depend d
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
        WHERE d.deptype = 'e' AND e.extname = 'scram_ext'
    ), acl AS (
        SELECT 'pg_class'::regclass AS classid, oid AS objid, relacl AS acl,
               acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner) AS implied
        FROM pg_class WHERE relkind IN ('r', 'v', 'S')
        UNION ALL SELECT 'pg_proc'::regclass, oid, proacl, acldefault('f', proowner) FROM pg_proc
        UNION ALL SELECT 'pg_type'::regclass, oid, typacl, acldefault('T', typowner) FROM pg_type
        UNION ALL SELECT 'pg_namespace'::regclass, oid, nspacl, acldefault('n', nspowner) FROM pg_namespace
        UNION ALL SELECT 'pg_class'::regclass, attrelid, attacl, NULL FROM pg_attribute WHERE attacl IS NOT NULL
    )
    SELECT k.what || ' ' || pg_describe_object(m.classid, m.objid, 0), x.grantee::regrole::text, x.privilege_type,
           x.is_grantable::text
    FROM member m
    CROSS JOIN LATERAL (
        SELECT 'now', coalesce(a.acl, a.implied) FROM acl a WHERE (a.classid, a.objid) = (m.classid, m.objid)
        UNION ALL
        SELECT 'initially', i.initprivs FROM pg_init_privs i WHERE (i.classoid, i.objoid) = (m.classid, m.objid)
    ) k(what, acl)
    CROSS JOIN LATERAL aclexplode(k.acl) x
    ORDER BY 1, 2, 3";

/// Rights of every sort on every kind of new object, everywhere and in the schema that will be made.
const GENEROUS: &str = "
    CREATE ROLE readonly; CREATE ROLE appuser;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO readonly, PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO appuser WITH GRANT OPTION;
    ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO readonly, PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO appuser WITH GRANT OPTION;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO readonly, appuser, PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO readonly, appuser;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO readonly, appuser, PUBLIC";

/// And too few.
const STINGY: &str = "
    ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM postgres;
    ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM postgres, PUBLIC;
    ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM postgres;
    ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM postgres, PUBLIC;
    ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM postgres";

fn rights(client: &mut Client) -> Vec<Vec<Option<String>>> {
    rows(client, RIGHTS)
}

#[test]
fn default_privileges_change_no_right_of_the_extension() {
    let clean = Cluster::with_extension();
    let expected = rights(&mut clean.client());
    assert!(expected.len() > 200, "{} rights", expected.len());
    for defaults in [GENEROUS, STINGY] {
        let cluster = Cluster::start();
        let mut admin = cluster.client();
        admin.batch_execute(defaults).expect("default privileges");
        admin.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
        let found = rights(&mut admin);
        let more: Vec<_> = found.iter().filter(|right| !expected.contains(right)).collect();
        let fewer: Vec<_> = expected.iter().filter(|right| !found.contains(right)).collect();
        assert!(more.is_empty() && fewer.is_empty(), "more: {more:?}\nfewer: {fewer:?}");
    }
}

/// A dump lists the privileges that differ from the initial ones, and there are none.
#[test]
fn a_dump_holds_no_grant_of_the_extensions_own() {
    let cluster = Cluster::start();
    let mut admin = cluster.client();
    admin.batch_execute(GENEROUS).expect("default privileges");
    admin.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    let dump = cluster.copy_database("postgres", "copy", false);
    let dump = String::from_utf8(dump).expect("text");
    let grants: Vec<_> = dump
        .lines()
        .filter(|line| line.starts_with("GRANT") || line.starts_with("REVOKE"))
        .filter(|line| line.contains("scram"))
        .collect();
    assert_eq!(grants, Vec::<&str>::new());
    let mut copy = cluster.client_as("postgres", "copy");
    assert_eq!(rights(&mut copy), rights(&mut admin));
}

/// A role that can read the extension's own copies of hashes is reported as a reader of hashes.
#[test]
fn readers_of_what_is_kept_are_named() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE history LOGIN; GRANT SELECT (verifier) ON scram_internal.password_history TO history;
             CREATE ROLE inventory LOGIN; GRANT SELECT ON scram_internal.stored_secret TO inventory;
             CREATE ROLE reader_a; CREATE ROLE reader_b; CREATE ROLE other; CREATE ROLE owner;
             CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO reader_a, reader_b, owner;
             CREATE TABLE app.account (name text, secret text);
             ALTER TABLE app.account OWNER TO owner;
             GRANT SELECT (secret) ON app.account TO reader_a; GRANT SELECT ON app.account TO reader_b;
             GRANT SELECT ON app.account TO other; GRANT SELECT (name) ON app.account TO history;
             CREATE TABLE closed (name text, secret text);
             SELECT scram.add_audit_source('my app', 'app.account', 'name', 'secret'),
                    scram.add_audit_source('closed', 'closed', 'name', 'secret')",
        )
        .expect("readers");
    let expected = [
        ["role", "history", "warning", "SELECT on scram_internal.password_history"],
        ["role", "inventory", "warning", "SELECT on scram_internal.stored_secret"],
        [
            "server",
            "source \"my app\"",
            "notice",
            "2 roles can read column \"secret\" of \"account\"",
        ],
    ]
    .map(|row| row.map(text).to_vec());
    let found = |table: &str| {
        format!(
            "SELECT source, subject, severity, evidence FROM {table}
             WHERE check_id = 'hash_readable' ORDER BY 1, 2"
        )
    };
    assert_eq!(rows(&mut admin, &found("scram.audit()")), expected);
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    assert_eq!(rows(&mut admin, &found("scram.audit_finding")), expected);
    admin
        .batch_execute("REVOKE SELECT ON scram_internal.stored_secret FROM inventory")
        .expect("revoked");
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    let fixed = "SELECT subject FROM scram.audit_finding WHERE status = 'fixed'";
    assert_eq!(cell(&mut admin, fixed).as_deref(), Some("inventory"));
}

/// The owner of the database is a member of pg_database_owner, and no row of pg_auth_members says so.
#[test]
fn a_grant_to_the_owner_of_the_database_is_a_finding() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE owner LOGIN; CREATE ROLE other LOGIN;
             GRANT SELECT (rolpassword) ON pg_authid TO pg_database_owner",
        )
        .expect("roles");
    admin.batch_execute("ALTER DATABASE postgres OWNER TO owner").expect("an owner");
    assert_eq!(
        cell(
            &mut cluster.client_as("owner", "postgres"),
            "SELECT count(rolpassword) FROM pg_authid"
        )
        .as_deref(),
        Some("0"),
        "the owner reads the column"
    );
    let found = "SELECT subject, split_part(evidence, ';', 1) FROM scram.audit() WHERE check_id = 'hash_readable'";
    let expected = ["owner", "SELECT on pg_authid through pg_database_owner"].map(text);
    assert_eq!(rows(&mut admin, found), [expected.to_vec()]);
}
