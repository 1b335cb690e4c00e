//! `scram.needs_rotation` and the audit's checks on counts and salts agree.

use scram_ext_client_tests::{Cluster, cell, rows, text};

#[test]
fn what_the_audit_finds_too_weak_needs_rotation() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "SET scram.min_iterations = 1;
             CREATE TABLE account (name text, secret text);
             INSERT INTO account
             SELECT i || '/' || l, scram.generate('Xq8', i, salt => decode(repeat('5a', l), 'hex'))
             FROM unnest('{4095,4096,4097}'::integer[]) i, unnest('{15,16,20,24}'::integer[]) l;
             SELECT scram.add_audit_source('s', 'account', 'name', 'secret')",
        )
        .expect("verifiers");
    for (iterations, salt_length) in [(4096, 16), (4097, 16), (4096, 20), (1, 24), (4097, 8)] {
        client
            .batch_execute(&format!(
                "SET scram.min_iterations = {iterations}; SET scram.default_iterations = {iterations};
                 SET scram.salt_length = {salt_length}"
            ))
            .expect("settings");
        let found = rows(
            &mut client,
            "SELECT DISTINCT r.subject FROM unnest('{iterations_below_policy,salt_short}'::text[]) AS c(check_id),
                 scram.audit_source_rows('s', c.check_id) r ORDER BY 1",
        );
        let weak = rows(
            &mut client,
            "SELECT name FROM account WHERE scram.needs_rotation(secret) ORDER BY 1",
        );
        assert_eq!(found, weak, "{iterations} iterations, salt of {salt_length}");
        let strong = cell(
            &mut client,
            "SELECT count(*) FROM account WHERE NOT scram.needs_rotation(secret)",
        );
        assert_ne!(strong, text("0"), "{iterations} iterations, salt of {salt_length}");
    }
}
