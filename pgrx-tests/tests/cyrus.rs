//! Cyrus SASL logs users in with verifiers of a table, which its settings export in the form of RFC 5803.

use scram_ext_client_tests::cyrus::Cyrus;
use scram_ext_client_tests::foreign::Login;
use scram_ext_client_tests::{Cluster, docs};

#[test]
fn cyrus_logs_in_with_the_verifiers_of_a_table() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    // The statements and the settings of the page.
    let table = docs::block("docs/formats.md", "sql", "CREATE TABLE mail_user");
    client.batch_execute(&table).expect("a table");
    let settings = docs::block("docs/formats.md", "ini", "auxprop_plugin: sql");
    let here = settings.replace(
        "sql_hostnames: 127.0.0.1",
        &format!("sql_hostnames: 127.0.0.1:{}", cluster.port()),
    );
    assert_ne!(here, settings);
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let sql =
            "INSERT INTO mail_user VALUES ($1, scram.generate('pencil', 10000, mechanism => $1))";
        client.execute(sql, &[&mechanism]).expect("a user");
        let cyrus = Cyrus::new(
            &here.replace("mech_list: SCRAM-SHA-256", &format!("mech_list: {mechanism}")),
        );
        for (user, password, expected) in [
            (mechanism, "pencil", Login::In),
            (mechanism, "pen", Login::Refused),
            ("unknown", "pencil", Login::Refused),
        ] {
            assert_eq!(
                cyrus.login(user, password, mechanism),
                expected,
                "{user}, {password}, {mechanism}"
            );
        }
    }
    // The page's own user, and a verifier of another mechanism.
    let cyrus = Cyrus::new(&here);
    assert_eq!(cyrus.login("ann", "ann's password", "SCRAM-SHA-256"), Login::In);
    assert_eq!(cyrus.login("SCRAM-SHA-1", "pencil", "SCRAM-SHA-256"), Login::Refused);
}
