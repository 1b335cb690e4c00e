//! Iteration counts of the rows of a source.

use scram_ext_client_tests::{Cluster, cell};

/// The handshake of an application answers unknown users with one count. One finding for the source says which rows
/// have another one, and the rows are listed.
#[test]
fn counts_that_reveal_rows() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE account (name text, secret text);
             INSERT INTO account
             SELECT 'user' || i, scram.generate('Xq8-' || i, 4096 + 1000 * (i % 3)) FROM generate_series(1, 7) i;
             INSERT INTO account VALUES ('sha512', scram.generate('Xq8', 5096, mechanism => 'SCRAM-SHA-512')),
                 ('hash', '$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW'), ('none', NULL);
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
        )
        .expect("a source");
    let expected = "app|rows|notice|6 rows: iteration count 5096 (4), 6096 (2); scram.handshake_start() answers 4096 for an unknown user";
    let found = "SELECT concat_ws('|', source, subject, severity, evidence) FROM {} WHERE check_id = 'iterations_reveal_role'";
    assert_eq!(cell(&mut client, &found.replace("{}", "scram.audit()")).as_deref(), Some(expected));
    client.batch_execute("CALL scram.run_audit()").expect("a run");
    assert_eq!(
        cell(&mut client, &found.replace("{}", "scram.audit_finding")).as_deref(),
        Some(expected)
    );
    let listed = "SELECT string_agg(subject || ' ' || evidence, ', ') FROM scram.audit_source_rows('app', 'iterations_reveal_role') WHERE subject IN ('sha512', 'user2')";
    assert_eq!(
        cell(&mut client, listed).as_deref(),
        Some("sha512 iteration count 5096, user2 iteration count 6096")
    );
    // The setting decides what the handshake answers.
    client.batch_execute("SET scram.default_iterations = 6096").expect("a setting");
    client.batch_execute("CALL scram.run_audit()").expect("a run");
    let count = "SELECT split_part(evidence, ';', 1) FROM scram.audit_finding WHERE check_id = 'iterations_reveal_role'";
    assert_eq!(
        cell(&mut client, count).as_deref(),
        Some("6 rows: iteration count 5096 (4), 4096 (2)")
    );
}
