//! The members that CREATE EXTENSION makes, compared with `expected/catalog.tsv`.
//!
//! The file is the SQL contract in the form of the catalogs: kind, signature, labels, search_path,
//! grants and comment of every function, columns and constraints of every table. After an intended
//! change `make expected` rewrites it.

use std::collections::BTreeMap;

use postgres::Client;
use scram_ext_client_tests::expected::assert_matches_file;
use scram_ext_client_tests::{Cluster, Raised};

/// One line for each member and each part of a member; tabs separate the fields. `-` means none.
const CATALOG: &str = include_str!("catalog.sql");

/// Members that break a rule. The rule holds even if the expected file has them.
const FORBIDDEN: &[(&str, &str)] = &[
    (
        "outside the two schemas",
        "SELECT i.identity FROM member m, pg_identify_object(m.classid, m.objid, 0) i
         WHERE coalesce(i.schema, i.identity) NOT IN ('scram', 'scram_internal')",
    ),
    (
        "without a comment",
        // In PostgreSQL 16 and later the row type of a table is a member too.
        "SELECT pg_describe_object(classid, objid, 0) FROM member
         WHERE obj_description(objid, classid::regclass::text) IS NULL
           AND NOT (classid = 'pg_type'::regclass AND EXISTS (
               SELECT FROM pg_type t WHERE t.oid = objid AND (t.typrelid <> 0 OR t.typelem <> 0)))",
    ),
    (
        // A definer's, or a body that is parsed at run time, would look up names where the caller
        // says. run_audit commits, which a procedure with a SET clause may not.
        "with a search_path of the caller's",
        "SELECT p.oid::regprocedure::text FROM member m JOIN pg_proc p ON p.oid = m.objid
         JOIN pg_language l ON l.oid = p.prolang
         WHERE m.classid = 'pg_proc'::regclass
           AND (p.prosecdef OR (l.lanname IN ('plpgsql', 'sql') AND p.prosqlbody IS NULL))
           AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
           AND (p.prosecdef OR p.proname <> 'run_audit')",
    ),
    (
        "a table or sequence that PUBLIC may use",
        "SELECT c.oid::regclass::text FROM member m JOIN pg_class c ON c.oid = m.objid,
         aclexplode(c.relacl) a WHERE m.classid = 'pg_class'::regclass AND a.grantee = 0",
    ),
];

#[test]
fn every_member_is_as_the_contract_says() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    assert_matches_file("catalog.tsv", &strings(&mut client, CATALOG));

    for (rule, query) in FORBIDDEN {
        let members = "WITH member AS (SELECT classid, objid FROM pg_depend
                       WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid =
                       (SELECT oid FROM pg_extension WHERE extname = 'scram_ext'))";
        let broken = strings(&mut client, &format!("{members} {query}"));
        assert!(broken.is_empty(), "{rule}: {broken:#?}");
    }
}

/// One line for each function that is meant to be called.
const REFERENCE: &str = r"
SELECT format('- `scram.%s(%s)%s`<br>%s. %s', p.proname,
    regexp_replace(pg_get_function_arguments(p.oid), '(::[a-z ]+)(?=,|$)', '', 'g'),
    CASE WHEN p.prokind = 'p' OR pg_get_function_result(p.oid) = 'record' THEN ''
         ELSE ' → ' || pg_get_function_result(p.oid) END,
    obj_description(p.oid, 'pg_proc'),
    concat_ws(', ',
        CASE WHEN p.prokind = 'p' THEN 'Procedure'
             ELSE CASE p.provolatile WHEN 'i' THEN 'Immutable' WHEN 's' THEN 'Stable' ELSE 'Volatile' END END,
        CASE p.proparallel WHEN 's' THEN 'parallel safe' END,
        CASE WHEN p.proisstrict AND p.pronargs > 0 THEN 'NULL for NULL' END,
        CASE WHEN p.prosecdef THEN 'security definer' END,
        CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'granted to PUBLIC'
             ELSE 'granted to no role' END) || '.')
FROM pg_proc p
WHERE p.pronamespace = 'scram'::regnamespace
ORDER BY p.proname";

#[test]
fn the_reference_lists_every_function() {
    let cluster = Cluster::with_extension();
    let intro = "# Function reference\n\n\
                 Signatures, labels and grants at install; a test compares this page with the extension.\n\
                 The pages that the [README](../README.md#pages) lists explain the functions.\n";
    let lines = intro.lines().map(str::to_owned).chain([String::new()]);
    let lines = lines.chain(strings(&mut cluster.client(), REFERENCE)).collect::<Vec<_>>();
    assert_matches_file("../../docs/reference.md", &lines);
}

#[test]
fn it_goes_without_a_trace_and_never_adopts_a_schema() {
    let cluster = Cluster::start();
    let mut client = cluster.client();

    let before = row_counts(&mut client);
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    assert_ne!(row_counts(&mut client), before, "the extension is in no catalog");
    client.batch_execute("DROP EXTENSION scram_ext").expect("its end");
    assert_eq!(row_counts(&mut client), before, "rows of the catalogs, by catalog");

    // An existing schema is refused, because its owner would own the place that the extension's
    // functions rely on.
    client.batch_execute("CREATE SCHEMA scram").expect("a schema");
    let raised = Raised::by(&mut client, "CREATE EXTENSION scram_ext");
    assert_eq!(raised.code, "42P06", "{raised:?}");
    client.batch_execute("DROP SCHEMA scram").expect("its end");

    let raised = Raised::by(&mut client, "CREATE EXTENSION scram_ext SCHEMA public");
    assert_eq!(raised.code, "0A000", "{raised:?}");
}

/// The number of rows of each catalog, except the planner's statistics.
fn row_counts(client: &mut Client) -> BTreeMap<String, i64> {
    let catalogs = strings(
        client,
        "SELECT oid::regclass::text FROM pg_class
         WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
           AND relname NOT LIKE 'pg\\_statistic%'",
    );
    let count = |catalog: String| {
        let query = format!("SELECT count(*) FROM {catalog}");
        let rows = client.query_one(&query, &[]).expect("a number").get(0);
        (catalog, rows)
    };
    catalogs.into_iter().map(count).collect()
}

fn strings(client: &mut Client, query: &str) -> Vec<String> {
    let rows = client.query(query, &[]).unwrap_or_else(|error| panic!("{error:?}\n{query}"));
    rows.iter().map(|row| row.get(0)).collect()
}
