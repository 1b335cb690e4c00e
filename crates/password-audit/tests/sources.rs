//! The checks on rows of registered sources.

mod common;

use password_audit::{self, Policy, ServerConfig};

use common::{SALT, expecting_scram, ids, plain, policy, row, run, strict};

const KAFKA: &str = "salt=MDEyMzQ1Njc4OWFiY2RlZg==,\
                     stored_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,\
                     server_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,iterations=4096";

fn mongodb(iterations: u32) -> String {
    let (salt, key) = ("/".repeat(37) + "w==", "A".repeat(43) + "=");
    format!(
        r#"{{"SCRAM-SHA-256": {{"iterationCount": {iterations}, "salt": "{salt}", "storedKey": "{key}", "serverKey": "{key}"}}}}"#
    )
}

/// Rows of registered sources: other systems' credentials are read, other hashes are reported.
#[test]
fn sources() {
    let kafka = Some(password_audit::ClientKind::Kafka);
    let cases = [
        (row("a", None, strict("pw", 4096, SALT)), &[] as &[&str]),
        (row("a", None, strict("a1", 4096, SALT)), &["password_is_name"]),
        (
            row("a", None, strict("pw", 4095, SALT)),
            &["iterations_below_policy", "iterations_reveal_role"],
        ),
        (row("a", None, plain(KAFKA)), &[]),
        (row("a", kafka, plain(KAFKA)), &[]),
        (row("a", None, plain(&KAFKA.replace("=4096", "=4095"))), &["iterations_below_policy"]),
        (row("a", None, plain(&KAFKA.replace("=4096", "=16384"))), &[]),
        (row("a", None, plain(&KAFKA.replace("=4096", "=16385"))), &["iterations_above_clients"]),
        (row("a", None, plain(&mongodb(4095))), &["iterations_below_policy"]),
        (row("a", None, plain(&mongodb(4096))), &[]),
        (row("a", None, plain(&mongodb(20_000))), &[]),
        (row("a", None, strict("pw", 16_385, SALT)), &["iterations_reveal_role"]),
        (row("a", kafka, strict("pw", 16_385, SALT)), &["iterations_above_clients"]),
        (
            row("a", None, plain("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW")),
            &[],
        ),
        (row("a", None, plain("hunter2")), &["password_plain_text"]),
        (expecting_scram(plain("hunter2")), &["password_plain_text", "not_scram"]),
        (expecting_scram(plain("5f4dcc3b5aa765d61d8327deb882cf99")), &["hash_weak", "not_scram"]),
        (
            expecting_scram(plain("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW")),
            &["not_scram"],
        ),
        (expecting_scram(plain("md50123456789abcdef0123456789abcdef")), &["md5_hash", "not_scram"]),
        (expecting_scram(strict("pw", 4096, SALT)), &[]),
        (expecting_scram(plain(KAFKA)), &[]),
        (expecting_scram(None), &[]),
        (row("a", None, plain("md50123456789abcdef0123456789abcdef")), &["md5_hash"]),
        (row("a", None, plain("SCRAM-SHA-256$4096:x")), &["scram_malformed"]),
        (row("a", None, None), &[]),
    ];
    let policy = Policy { client_max_iterations: 20_000, max_iterations: 20_000, ..policy() };
    for (subject, expected) in cases {
        let printed = format!("{subject:?}");
        let one: Vec<_> = password_audit::scan_subject(&subject, &policy)
            .iter()
            .map(|hit| hit.check.id)
            .collect();
        let found = run(&[subject], &ServerConfig::default(), &policy);
        assert_eq!(ids(&found), expected, "{printed}");
        let derived = |id: &&str| *id != "password_is_name";
        assert_eq!(one, expected.iter().copied().filter(derived).collect::<Vec<_>>(), "{printed}");
    }

    let many = [row("a", kafka, strict("pw", 17_000, SALT))];
    let found = run(&many, &ServerConfig::default(), &policy);
    assert_eq!(found[0].evidence, "iteration count 17000, refused by Kafka above 16384");
    let few = [row("a", None, plain(&KAFKA.replace("=4096", "=100")))];
    let found = run(&few, &ServerConfig::default(), &policy);
    assert_eq!(found[0].evidence, "iteration count 100, refused by Kafka below 4096");
    let few = [row("a", None, strict("pw", 100, &SALT[..15]))];
    let found = run(&few, &ServerConfig::default(), &policy);
    let evidence: Vec<_> = found.iter().map(|finding| &*finding.evidence).collect();
    let expected = [
        "iteration count 100, at least 4096 wanted, refused by pg8000 below 4096",
        "iteration count 100",
        "salt of 15 bytes, at least 16 wanted; Odyssey accepts 16 bytes only",
    ];
    assert_eq!(evidence, expected);
    let all =
        Policy { client_max_iterations: 100_000, max_iterations: 1_000_000, ..policy.clone() };
    let found = run(&[row("a", None, strict("pw", 100_001, SALT))], &ServerConfig::default(), &all);
    assert_eq!(
        found[0].evidence,
        "iteration count 100001, refused by Cyrus SASL above 65536, pgjdbc above 100000, \
         node-postgres above 100000, rust-postgres above 100000"
    );
    let limited = Policy { max_iterations: 10_000, ..policy.clone() };
    let found = run(&many, &ServerConfig::default(), &limited);
    assert!(
        found[0].evidence.ends_with("no password is tried on it, as scram.max_iterations is 10000")
    );
}
