//! Severity follows what a role can do, and the evidence says why.

use scram_ext_client_tests::{Cluster, rows};

#[test]
fn findings_are_weighed_by_what_the_role_can_do() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            r"DO $$
              DECLARE name text;
              BEGIN
                  FOREACH name IN ARRAY '{plain,root,sender,creator,bypasser,program,reader,nested,owner,owner_2,group}'::text[] LOOP
                      EXECUTE format('CREATE ROLE %I LOGIN VALID UNTIL ''2020-01-01'' PASSWORD %L', name,
                          scram.generate(gen_random_uuid()::text));
                  END LOOP;
              END $$;
              ALTER ROLE root SUPERUSER;
              ALTER ROLE sender REPLICATION;
              ALTER ROLE creator CREATEROLE;
              ALTER ROLE bypasser BYPASSRLS;
              GRANT pg_execute_server_program, pg_write_server_files TO program;
              GRANT pg_read_server_files TO reader;
              GRANT reader TO nested;
              UPDATE pg_authid SET rolpassword = left(rolpassword, 60);",
        )
        .expect("roles");
    for statement in [
        "CREATE DATABASE shop OWNER owner",
        "CREATE DATABASE shop_1 OWNER owner_2",
        "CREATE DATABASE shop_2 OWNER owner_2",
        "ALTER ROLE \"group\" NOLOGIN",
    ] {
        client.batch_execute(statement).expect(statement);
    }
    let expected = [
        ["bypasser", "critical", "; the role has BYPASSRLS"],
        ["creator", "critical", "; the role has CREATEROLE"],
        ["nested", "critical", "; the role has membership in pg_read_server_files"],
        ["owner", "critical", "; the role has ownership of database shop"],
        ["owner_2", "critical", "; the role has ownership of 2 databases"],
        ["plain", "warning", ""],
        [
            "program",
            "critical",
            "; the role has membership in pg_execute_server_program, pg_write_server_files",
        ],
        ["reader", "critical", "; the role has membership in pg_read_server_files"],
        ["root", "critical", "; the role has SUPERUSER"],
        ["sender", "critical", "; the role has REPLICATION"],
    ]
    .map(|row| row.map(|text| Some(text.to_owned())).to_vec());
    client.batch_execute("CALL scram.run_audit()").expect("a run");
    for findings in ["scram.audit()", "scram.audit_finding"] {
        let found = format!(
            "SELECT subject, severity, replace(evidence, substring(evidence from '^expired at [-0-9: ]+ UTC'), '')
             FROM {findings} WHERE check_id = 'password_expired' ORDER BY subject"
        );
        client.batch_execute("SET TimeZone = 'UTC'").expect("a time zone");
        assert_eq!(rows(&mut client, &found), expected, "{findings}");
    }
    // A critical finding of a role that cannot log in.
    let group = "SELECT severity, evidence LIKE '%; the role has NOLOGIN' FROM scram.audit()
                 WHERE subject = 'group' AND check_id = 'scram_malformed'";
    assert_eq!(rows(&mut client, group), [[Some("warning".to_owned()), Some("t".to_owned())]]);
}
