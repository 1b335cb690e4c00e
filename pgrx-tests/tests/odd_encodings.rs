//! Databases whose encoding has characters that UTF-8 lacks, or no conversion to UTF-8: no function
//! fails for a name or a secret that the database can hold.

use scram_ext_client_tests::Cluster;

/// An encoding, and text in it without a counterpart in UTF-8.
const ODD: [(&str, &str); 3] = [
    // A position of the table that JIS X 0208 leaves empty.
    ("EUC_JP", r"convert_from('\xa9a1', 'EUC_JP')"),
    // Half of it has a counterpart.
    ("EUC_JP", r"convert_from('\xa4a2a9a1', 'EUC_JP')"),
    // The server has no conversion of any of it.
    ("MULE_INTERNAL", r"convert_from('\x81e9', 'MULE_INTERNAL')"),
];

/// Calls that must have a result, and no error.
const CALLS: [&str; 19] = [
    "scram.identify(odd())",
    "scram.is_verifier(odd())",
    "scram.verify(odd(), scram.generate(odd()))",
    "scram.match_any(scram.generate(odd()), ARRAY['x', odd()])",
    "scram.username('n,,n=' || odd() || ',r=abc') IS NULL",
    "(SELECT count(*) FROM scram.explain('n,,n=' || odd() || ',r=abc'))",
    "(SELECT count(*) FROM scram.handshake_start('n,,n=' || odd() || ',r=abc', NULL))",
    "(SELECT count(*) FROM scram.handshake_start('n,,n=,r=abc', NULL, odd()))",
    "(SELECT count(*) FROM scram.role_handshake_start('n,,n=' || odd() || ',r=abc'))",
    "(SELECT count(*) FROM scram.role_handshake_start('n,,n=,r=abc', odd()::name))",
    "(SELECT count(*) FROM scram.check_transcript(scram.generate('x'), odd(), odd(), odd()))",
    "(SELECT count(*) FROM scram.audit())",
    "length(scram.audit_report('text'))",
    "length(scram.audit_report('html'))",
    "length(scram.audit_report('json'))",
    "length(scram.audit_report('prometheus'))",
    "(SELECT count(*) FROM scram.check_password(odd()::name, odd()))",
    "scram.verify_role(odd()::name, odd())",
    "(SELECT action FROM scram.set_role_password(odd()::name, odd() || '2'))",
];

/// The contents of the stored audit: the run finished, read the source, and tried the word.
const STORED: &str = "
    SELECT status, candidates_left FROM scram.audit_run;
    SELECT DISTINCT check_id FROM scram.audit_finding
    WHERE source NOT IN ('role', 'server') OR check_id = 'source_unreadable' ORDER BY 1;";

#[test]
fn no_name_and_no_secret_raises() {
    let cluster = Cluster::start();
    for (number, (encoding, odd)) in ODD.into_iter().enumerate() {
        // psql's own encoding is the database's: there is no other for all of these.
        let mut script = format!(
            "CREATE DATABASE odd{number} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0;
             \\connect odd{number}
             \\pset tuples_only on
             \\pset format unaligned
             CREATE EXTENSION scram_ext;
             CREATE FUNCTION odd() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT {odd}$$;
             DO $$ BEGIN
                 EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L VALID UNTIL ''2999-01-01''', odd(), odd());
                 EXECUTE format('CREATE TABLE %I (%I text, secret text)', odd(), odd());
                 EXECUTE format('INSERT INTO %I VALUES ($1, $1), ($1 || $1, scram.generate($1 || $1))', odd())
                     USING odd();
                 PERFORM scram.add_audit_source(odd(), format('%I', odd())::regclass, odd()::name, 'secret');
             END $$;
             INSERT INTO scram.wordlist VALUES (odd()), (odd() || odd());
             CALL scram.run_audit(NULL);
             {STORED}\n"
        );
        for call in CALLS {
            script += &format!("SELECT '=', {call};\n");
        }
        script += "DO $$ BEGIN EXECUTE format('DROP ROLE %I', odd()); END $$;";
        let printed = cluster.psql_script(&script);
        let (stored, results): (Vec<_>, Vec<_>) =
            printed.lines().partition(|line| !line.starts_with("=|"));
        // The first line is the number of the run.
        let expected =
            ["1", "done|0", "password_in_wordlist", "password_is_name", "password_plain_text"];
        assert_eq!(stored, expected, "{encoding}");
        assert_eq!(results.len(), CALLS.len(), "{encoding}: {results:#?}");
        for (call, result) in CALLS.iter().zip(results) {
            assert!(result.len() > 2, "{encoding}: {call}");
        }
    }
}
