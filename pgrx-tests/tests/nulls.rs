//! NULL arguments. Strict functions return NULL. In the others, NULL means the default if the
//! argument has one; otherwise it is an error, unless the contract gives it a meaning.

use scram_ext_client_tests::{Cluster, Raised, rows};

/// RFC 7677's verifier of `pencil`.
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
    $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// A query and the one row it returns, as psql would print it, NULL as `∅`.
const CASES: &[(&str, &str)] = &[
    ("SELECT scram.generate(NULL)", "∅"),
    ("SELECT scram.generate(NULL, 4096, 'salt', 'SCRAM-SHA-1')", "∅"),
    (
        "SELECT p.mechanism, p.iterations, length(p.salt)
         FROM scram.parse(scram.generate('x', NULL, NULL, NULL)) p",
        "SCRAM-SHA-256|4096|16",
    ),
    ("SELECT scram.generate(NULL, preparation => 'nonsense')", "∅"),
    (
        "SELECT scram.verify('x', scram.generate('x', salt_length => NULL, preparation => NULL))",
        "t",
    ),
    ("SELECT scram.verify('pencil', '{v}', NULL)", "∅"),
    ("SELECT (scram.parse(NULL)).*", "∅|∅|∅|∅|∅"),
    ("SELECT * FROM scram.parse(NULL)", "∅|∅|∅|∅|∅"),
    ("SELECT count(*) FROM (VALUES ('{v}'), (NULL)) t(v), scram.parse(t.v)", "2"),
    ("SELECT scram.is_verifier(NULL)", "∅"),
    ("SELECT scram.identify(NULL)", "∅"),
    ("SELECT scram.verify(NULL, '{v}')", "∅"),
    ("SELECT scram.verify('pencil', NULL)", "∅"),
    ("SELECT scram.import_verifier(NULL), scram.import_verifier(NULL, 'nonsense')", "∅|∅"),
    ("SELECT scram.import_verifier('{v}', NULL) = '{v}'", "t"),
    ("SELECT scram.export_verifier(NULL, 'kafka'), scram.export_verifier('{v}', NULL)", "∅|∅"),
    ("SELECT scram.match_any(NULL, '{pencil}')", "∅"),
    ("SELECT scram.match_any('{v}', NULL)", "∅"),
    ("SELECT scram.match_any('{v}', '{}')", "∅"),
    ("SELECT scram.match_any('{v}', '{NULL,pencil}')", "2"),
    ("SELECT scram.match_any('{v}', '{NULL,NULL}')", "∅"),
    ("SELECT scram.match_any('{v}', '{pen,pencil,pencil}')", "2"),
    ("SELECT scram.match_any('{v}', '[5:7]={a,pencil,b}')", "2"),
    ("SELECT scram.needs_rotation(NULL)", "∅"),
    ("SELECT NULL::scram.verifier IS NULL", "t"),
    (
        "SELECT count(*) FROM (
             SELECT * FROM scram.explain_login('postgres', NULL, NULL, NULL, NULL, NULL)
             EXCEPT SELECT * FROM scram.explain_login('postgres')) x",
        "0",
    ),
    // A NULL verifier means an unknown user, and the answer looks like any other.
    (
        "SELECT server_first LIKE 'r=abc%,s=%,i=4096', state IS NOT NULL, error
         FROM scram.handshake_start('n,,n=nobody,r=abc', NULL)",
        "t|t|∅",
    ),
    (
        "SELECT server_first, state, error FROM scram.handshake_start(NULL, '{v}')",
        "∅|∅|invalid-encoding",
    ),
    (
        "SELECT server_first, state, error FROM scram.handshake_start(NULL, NULL)",
        "∅|∅|invalid-encoding",
    ),
    (
        "SELECT server_first LIKE 'r=abc%', error
         FROM scram.handshake_start('n,,n=u,r=abc', '{v}', NULL, NULL, NULL, NULL, NULL)",
        "t|∅",
    ),
    (
        "SELECT f.* FROM scram.handshake_start('n,,n=u,r=abc', '{v}') s,
         scram.handshake_finish(s.state, NULL, '{v}') f",
        "f|e=invalid-encoding|∅|invalid-encoding|∅",
    ),
    (
        "SELECT f.* FROM scram.handshake_start('n,,n=u,r=abc', '{v}') s,
         scram.handshake_finish_passthrough(s.state, NULL, '{v}') f",
        "f|e=invalid-encoding|∅|invalid-encoding|∅|∅|∅",
    ),
    (
        "SELECT string_agg(message, ' ' ORDER BY step)
         FROM scram.handshake('pencil', '{v}', NULL, NULL, 'abc', 'def', NULL, NULL)",
        "n,,n=user,r=abc r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096 \
         c=biws,r=abcdef,p=p1xwzfothMDbACHp9kfDV+D422Lu4DJCcnEVgF7nKZ0= \
         v=dK8r7RK2egAeUK+aVwizZe4W+Irw4xXR4w/BKTGOvRQ=",
    ),
];

/// Calls of functions that change roles, or ask for one: the test's role has the password `pencil`.
const ROLES: &[(&str, &str)] = &[
    ("SELECT scram.verify_role(NULL, 'pencil')", "f"),
    ("SELECT scram.verify_role('somebody', NULL)", "f"),
    ("SELECT scram.verify_role(NULL, NULL)", "f"),
    ("SELECT * FROM scram.set_role_password('somebody', 'pencil', NULL, NULL)", "unchanged|f"),
    (
        "SELECT s.* FROM pg_authid a, scram.set_role_verifier('somebody', a.rolpassword, NULL) s
         WHERE a.rolname = 'somebody'",
        "unchanged|f",
    ),
    ("SELECT length(scram.rotate_role('somebody', NULL, NULL, NULL))", "24"),
];

/// The same once there is a run of the audit.
const AFTER_A_RUN: &[(&str, &str)] = &[
    ("SELECT scram.audit_report(NULL) = scram.audit_report('text')", "t"),
    ("SELECT scram.audit_report(NULL, NULL) LIKE 'Password audit%Run 1, done%'", "t"),
    ("SELECT scram.audit_report('json', NULL)::jsonb #>> '{run,run_id}'", "1"),
];

/// NULL where there is neither a default nor a meaning.
const REFUSED: &[&str] = &[
    "SELECT scram.handshake_finish(NULL, 'c=biws,r=abc,p=AAAA', '{v}')",
    "SELECT * FROM scram.handshake(NULL, '{v}')",
    "SELECT * FROM scram.handshake('pencil', NULL)",
    "SELECT * FROM scram.set_role_password(NULL, 'x')",
    "SELECT * FROM scram.set_role_password('somebody', NULL)",
    "SELECT * FROM scram.set_role_verifier(NULL, '{v}')",
    "SELECT * FROM scram.set_role_verifier('somebody', NULL)",
    "SELECT * FROM scram.check_password(NULL, 'x')",
    "SELECT * FROM scram.explain_login(NULL)",
    "SELECT * FROM scram.check_password('somebody', NULL)",
    "SELECT scram.rotate_role(NULL)",
    "SELECT * FROM scram.change_own_password(NULL, 'x')",
    "SELECT * FROM scram.change_own_password('x', NULL)",
    "SELECT scram.create_rotation(NULL, 'somebody', 'somebody', 'postgres')",
    "SELECT scram.create_rotation('x', NULL, 'somebody', 'postgres')",
    "SELECT scram.create_rotation('x', 'somebody', NULL, 'postgres')",
    "SELECT scram.create_rotation('x', 'somebody', 'postgres', NULL)",
    "SELECT * FROM scram.rotate(NULL)",
    "SELECT * FROM scram.finish_rotation(NULL)",
    "SELECT scram.drop_rotation(NULL)",
];

#[test]
fn nulls() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE somebody LOGIN PASSWORD 'pencil'").expect("a role");
    let mut wrong = Vec::new();
    rows(&mut client, "CALL scram.run_audit()");
    for (sql, expected) in CASES.iter().chain(ROLES).chain(AFTER_A_RUN) {
        let found = rows(&mut client, &sql.replace("{v}", VERIFIER));
        let found: Vec<_> = found
            .iter()
            .map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or("∅")).collect::<Vec<_>>())
            .map(|row| row.join("|"))
            .collect();
        if found != [*expected] {
            wrong.push(format!("{sql}\n    {found:?}, not {expected}"));
        }
    }
    for sql in REFUSED {
        let raised = Raised::by(&mut client, &sql.replace("{v}", VERIFIER));
        if raised.code != "22004" {
            wrong.push(format!("{sql}\n    {raised:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
