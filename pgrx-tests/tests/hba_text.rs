//! A proposed text of pg_hba.conf is read as the server reads the same text on disk.

#[path = "hba_text/random.rs"]
mod random;

use std::env;
use std::fs;

use postgres::Client;
use postgres::error::{DbError, SqlState};
use random::random_text;
use scram_ext_client_tests::{Cluster, Feature, rows};

/// Random texts; `HBA_TEXTS` sets another number.
const TEXTS: usize = 1000;

/// The view's answer about the file: its rules, or its first error with the line.
fn view(client: &mut Client) -> Result<Vec<String>, (String, String)> {
    let errors =
        "SELECT line_number, error, regexp_replace(to_jsonb(r) ->> 'file_name', '.*/', '') AS file
        FROM pg_hba_file_rules r WHERE type IS NULL
        ORDER BY (to_jsonb(r) ->> 'rule_number')::integer NULLS FIRST, line_number";
    let mut errors = rows(client, errors);
    // The view lists included files where they are included, and numbers rules alone.
    if !errors.is_empty() {
        let error = errors.remove(0);
        let [line, error, file] = &error[..] else { panic!("{error:?}") };
        let line = line.clone().expect("a line");
        let place = match file.as_deref() {
            None | Some("pg_hba.conf") => format!("line {line}"),
            Some(file) => format!("{file}:{line}"),
        };
        return Err((place, error.clone().unwrap_or_default()));
    }
    let rules = "SELECT json_build_array(CASE WHEN f.name = 'pg_hba.conf' THEN 'line ' ELSE f.name || ':' END || line_number,
            type, database, user_name, address, netmask, auth_method)::text
        FROM pg_hba_file_rules() WITH ORDINALITY r
        CROSS JOIN LATERAL (
            SELECT coalesce(regexp_replace(to_jsonb(r) ->> 'file_name', '.*/', ''), 'pg_hba.conf') AS name) f
        -- A rule that only TLS would reach has no rule_number where TLS is off.
        ORDER BY ordinality";
    Ok(rows(client, rules).into_iter().flatten().flatten().collect())
}

/// The same of the text, without the quotes that it shows and the view does not.
fn read(client: &mut Client, text: &str) -> Result<Vec<String>, Box<DbError>> {
    let bare = "ARRAY(SELECT CASE WHEN w LIKE '\"%\"' THEN replace(substr(w, 2, length(w) - 2), '\"\"', '\"') ELSE w END
                      FROM unnest($) WITH ORDINALITY u(w, n) ORDER BY n)";
    let sql = format!(
        "SELECT json_build_array(place, type, {}, {}, address, netmask, auth_method)::text
         FROM scram_internal.read_hba($1)",
        bare.replace('$', "database"),
        bare.replace('$', "user_name"),
    );
    match client.query(&sql, &[&text]) {
        Ok(rows) => Ok(rows.iter().map(|row| row.get(0)).collect()),
        Err(error) => Err(error.as_db_error().expect("an error of the server").clone().into()),
    }
}

#[test]
fn a_text_is_read_as_the_same_file() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let data = cluster.dir().join("data");
    fs::create_dir(data.join("names.d")).expect("a folder");
    for (file, text) in [
        ("names", "ann # a comment\n\"all\" @more\n"),
        ("more", "\"b c\", \\\nd\n"),
        ("all", "local all ann md5\n"),
        ("a", "host all all 10.0.0.0/8 md5\nhost all all 10.0.0.0/99 md5\n"),
    ] {
        fs::write(data.join(file), text).expect(file);
    }
    client
        .batch_execute("CREATE ROLE plain LOGIN; GRANT EXECUTE ON FUNCTION scram_internal.read_hba(text) TO plain")
        .expect("a role");
    let mut plain = cluster.client_as("plain", "postgres");
    let seed = 16_022;
    let mut random = fastrand::Rng::with_seed(seed);
    let texts = env::var("HBA_TEXTS").map_or(TEXTS, |texts| texts.parse().expect("a number"));
    let (mut valid, mut invalid, mut rules) = (0, 0, 0);
    for number in 0..texts {
        let text = random_text(&mut random);
        fs::write(data.join("pg_hba.conf"), &text).expect("pg_hba.conf");
        let context = format!("seed {seed}, text {number}:\n{text}");
        // Without the privilege no word of another file, and no trace of one, comes out.
        let answer = format!("{:?}", read(&mut plain, &text));
        assert!(
            !answer.contains("\"ann") && !answer.contains("could not open"),
            "{answer}\n{context}"
        );
        match (view(&mut client), read(&mut client, &text)) {
            (Ok(none), Err(error)) if none.is_empty() => {
                assert_eq!(
                    error.message(),
                    "the proposed pg_hba.conf contains no entries",
                    "{context}"
                );
            }
            (Ok(expected), Ok(found)) => {
                assert_eq!(found, expected, "{context}");
                (valid, rules) = (valid + 1, rules + found.len());
            }
            (Err((place, words)), Err(error)) => {
                assert_eq!(*error.code(), SqlState::INVALID_PARAMETER_VALUE, "{context}");
                let message = format!("invalid {place} of the proposed pg_hba.conf");
                assert_eq!(error.message(), message, "{words}\n{context}");
                // A message about a line with a password may quote it.
                let is_hidden = error.detail() == Some("an error in a line with a secret");
                assert!(
                    is_hidden && (text.contains("secret") || text.contains("passwd"))
                        || error.detail() == Some(&words),
                    "{error:?}\n{words}\n{context}"
                );
                invalid += 1;
            }
            (file, text) => panic!("the file: {file:?}\nthe text: {text:?}\n{context}"),
        }
    }
    println!("{valid} texts with {rules} rules, {invalid} with an error");
    assert!(valid > texts / 5 && invalid > texts / 5, "{valid} valid, {invalid} invalid");
}

/// Without the privilege no caller can have the server open a file, and the others can.
#[test]
fn includes_need_the_privilege() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE plain LOGIN; CREATE ROLE reader LOGIN IN ROLE pg_read_server_files;
             GRANT EXECUTE ON FUNCTION scram_internal.read_hba(text) TO plain, reader",
        )
        .expect("roles");
    fs::write(cluster.dir().join("data/names"), "ann\n").expect("names");
    let mut texts = vec![
        ("local all @names md5", 1),
        ("local all all md5\nlocal \\\n@names all md5", 2),
        ("local all a,@names md5", 1),
        ("@names", 1),
        ("local all \"\"x,@names md5", 1),
    ];
    if Feature::HbaPatterns.is_there() {
        let directives = ["include names", "\"include_if_exists\" names", "#\ninclude_dir ."];
        texts.extend(directives.into_iter().zip([1, 1, 2]));
    }
    let mut plain = cluster.client_as("plain", "postgres");
    let mut reader = cluster.client_as("reader", "postgres");
    for (text, line) in texts {
        let error = read(&mut plain, text).expect_err(text);
        assert_eq!(*error.code(), SqlState::INSUFFICIENT_PRIVILEGE, "{text}");
        assert!(
            error.detail().is_some_and(|d| d.starts_with(&format!("Line {line} "))),
            "{error:?}"
        );
        if let Err(error) = read(&mut reader, text) {
            assert_eq!(*error.code(), SqlState::INVALID_PARAMETER_VALUE, "{text}");
        }
    }
    let found = read(&mut reader, "local all @names md5").expect("rules");
    assert_eq!(found, [r#"["line 1", "local", ["all"], ["ann"], null, null, "md5"]"#]);
    // A name in quotes is no file, nor is an at sign within a word.
    for text in ["local all \"@names\" md5", "local all x@names md5", "local all @ md5"] {
        read(&mut plain, text).expect(text);
    }
}

/// ANALYZE by a superuser runs functions of a table's owner, who then chooses the text.
#[test]
fn a_table_owner_borrows_no_privilege() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    fs::write(cluster.dir().join("data/names"), "ann\n").expect("names");
    admin
        .batch_execute(
            "CREATE ROLE plain LOGIN;
             CREATE SCHEMA plain AUTHORIZATION plain;
             GRANT EXECUTE ON FUNCTION scram_internal.read_hba(text) TO plain;
             GRANT USAGE ON SCHEMA scram_internal TO plain",
        )
        .expect("a role");
    cluster
        .client_as("plain", "postgres")
        .batch_execute(
            "CREATE FUNCTION plain.f(x integer, y text) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM FROM scram_internal.read_hba(y);
                 RETURN x;
             END $$;
             CREATE TABLE plain.t AS SELECT 1 AS x, 'local all all md5' AS y;
             CREATE INDEX ON plain.t (plain.f(x, y))",
        )
        .expect("an index");
    admin.batch_execute("ANALYZE plain.t").expect("a text without files");
    cluster
        .client_as("plain", "postgres")
        .batch_execute(
            "CREATE OR REPLACE FUNCTION plain.f(x integer, y text) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM FROM scram_internal.read_hba('local all @names md5');
                 RETURN x;
             END $$",
        )
        .expect("another function");
    let error = admin.batch_execute("ANALYZE plain.t").expect_err("a file");
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{error:?}");
}

/// Bounds are checked before work starts, and no error holds a password.
#[test]
fn bounds_and_secrets() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let long = " ".repeat(1024 * 1024 + 1);
    let error = read(&mut client, &long).expect_err("too long");
    assert_eq!(*error.code(), SqlState::INVALID_PARAMETER_VALUE);
    let error = read(&mut client, &"local all all md5\n".repeat(5001)).expect_err("too many");
    assert_eq!(*error.code(), SqlState::PROGRAM_LIMIT_EXCEEDED);
    let secret = "host all all all ldap ldapserver=a ldapprefix=b ldapbindpasswd=hunter2 hunter3";
    let error = client
        .simple_query(&format!("SELECT * FROM scram_internal.read_hba('{secret}')"))
        .expect_err("no option");
    let error = error.as_db_error().expect("an error of the server");
    assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
    assert!(!cluster.log().contains("hunter"), "{}", cluster.log());
    // Files are closed and memory is freed within a transaction too.
    client.batch_execute("BEGIN").expect("a transaction");
    for _ in 0..2000 {
        read(&mut client, "local all all md5").expect("rules");
    }
}

/// The server's parser quotes a list that it cannot split, at a level that a client can ask for.
#[test]
fn debug_messages_do_not_quote_the_file() {
    let cluster = Cluster::with_extension();
    let file = cluster.dir().join("data/pg_hba.conf");
    let mut text = fs::read_to_string(&file).expect("pg_hba.conf");
    text.push_str(
        "host all all 10.9.9.9/32 radius radiusservers=127.0.0.1 radiussecrets=\"\"\"TOPSECRET\"\n",
    );
    fs::write(&file, text).expect("pg_hba.conf");
    let told = |sql: &str| {
        let output = cluster.psql(&["-c", "SET client_min_messages = debug3", "-c", sql]);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(told("SELECT FROM pg_hba_file_rules").contains("TOPSECRET"), "the server itself");
    for call in [
        "audit()",
        "compare_hba('local all all md5')",
        "explain_login('postgres')",
        "migration_plan()",
    ] {
        let told = told(&format!("SELECT count(*) FROM scram.{call}"));
        assert!(!told.contains("TOPSECRET"), "{call}: {told}");
    }
}
