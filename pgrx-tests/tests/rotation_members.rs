//! A rotation whose roles are no longer members of its group role.

use scram_ext_client_tests::{Cluster, Raised, cell, rows, text};

#[test]
fn both_roles_must_still_be_members() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE app; CREATE ROLE app_a LOGIN IN ROLE app; CREATE ROLE app_b IN ROLE app;
             SELECT scram.create_rotation('app', 'app', 'app_a', 'app_b')",
        )
        .expect("a rotation");
    let stored = "SELECT rolname, rolcanlogin, rolpassword FROM pg_authid WHERE rolname ~ '^app_' ORDER BY 1";
    for role in ["app_a", "app_b"] {
        client.batch_execute(&format!("REVOKE app FROM {role}")).expect("revoked");
        let before = rows(&mut client, stored);
        for call in ["rotate('app')", "finish_rotation('app')"] {
            let raised = Raised::by(&mut client, &format!("SELECT scram.{call}"));
            assert_eq!(raised.code, "22023", "{role}, {call}: {raised:?}");
            assert_eq!(raised.message, format!("role \"{role}\" is not a member of role \"app\""));
        }
        assert_eq!(rows(&mut client, stored), before, "nothing was changed");
        client.batch_execute(&format!("GRANT app TO {role}")).expect("granted");
    }
    cell(&mut client, "SELECT password FROM scram.rotate('app')").expect("a password");
    client.batch_execute("REVOKE app FROM app_b").expect("revoked in between");
    assert_eq!(Raised::by(&mut client, "SELECT scram.finish_rotation('app')").code, "22023");
    client.batch_execute("GRANT app TO app_b").expect("granted");
    assert_eq!(
        cell(&mut client, "SELECT retired FROM scram.finish_rotation('app')"),
        text("app_a")
    );
    client.batch_execute("DROP ROLE app").expect("dropped");
    assert_eq!(Raised::by(&mut client, "SELECT scram.rotate('app')").code, "42704");
    client.batch_execute("SELECT scram.drop_rotation('app')").expect("dropped");
}
