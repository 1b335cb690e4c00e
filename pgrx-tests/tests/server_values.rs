//! Checks on settings judge the server's values, and not those of the auditor's session.

use postgres::Client;
use scram_ext_client_tests::{Cluster, cell};

#[test]
fn a_session_hides_nothing() {
    let cluster = Cluster::builder()
        .conf("password_encryption = 'MD5'")
        .conf("Log_Statement = ddl")
        .conf("debug_print_plan = yes")
        .conf("debug_print_parse = no")
        .conf("log_transaction_sample_rate = 0.0")
        .start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    let expected = "debug_print_plan is on, log_statement is ddl, password_encryption is md5";
    assert_eq!(found(&mut client), expected);
    client
        .batch_execute(
            "SET password_encryption = 'scram-sha-256'; SET log_statement = 'none';
             SET debug_print_plan = off; SET log_transaction_sample_rate = 0",
        )
        .expect("settings of the session");
    assert_eq!(found(&mut client), expected);
}

#[test]
fn a_session_makes_nothing_up() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "ALTER ROLE postgres SET log_statement = 'all';
             SET password_encryption = 'md5'; SET log_min_duration_statement = 0",
        )
        .expect("settings of the session");
    assert_eq!(found(&mut client), "");
    assert_eq!(found(&mut cluster.client()), "");
    // For a session with a value of its own, the configuration files have the server's.
    client
        .batch_execute("ALTER SYSTEM SET password_encryption = 'md5'")
        .expect("the server's value");
    assert_eq!(found(&mut client), "password_encryption is md5");
}

fn found(client: &mut Client) -> String {
    let found = "SELECT string_agg(evidence, ', ' ORDER BY evidence) FROM scram.audit()
                 WHERE check_id IN ('password_encryption_md5', 'passwords_logged')";
    cell(client, found).unwrap_or_default()
}
