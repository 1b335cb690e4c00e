//! SECURITY DEFINER functions that return stored hashes, as poolers use them for `auth_query`.

use scram_ext_client_tests::{Cluster, rows};

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
    let looks = "looks like it returns stored hashes with the rights of \"postgres\", and";
    let expected = [
        ["function public.granted(text)", "notice", r#""Other", "pooler" may call it"#],
        ["function public.lookup(u text, OUT n text, OUT p text)", "warning", "PUBLIC may call it"],
        ["function public.parsed()", "warning", "PUBLIC may call it"],
    ]
    .map(|[function, severity, callers]| {
        let evidence = format!("{function} {looks} {callers}");
        [function, severity, &evidence].map(|text| Some(text.to_owned())).to_vec()
    });
    let found = "SELECT subject, severity, evidence FROM scram.audit()
                 WHERE source = 'server' AND check_id = 'hash_readable' ORDER BY subject";
    assert_eq!(rows(&mut client, found), expected);
}
