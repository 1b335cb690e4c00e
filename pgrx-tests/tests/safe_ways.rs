//! The ways into `set_role_password` that docs/roles.md calls safe, exactly as that page has them, on a
//! server that logs all it can.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use scram_ext_client_tests::foreign::{Foreign, Login};
use scram_ext_client_tests::{Cluster, cell, docs};

#[test]
fn the_pages_ways_leave_no_password_behind() {
    let cluster = Cluster::builder()
        .conf("shared_preload_libraries = 'pgaudit, pg_stat_statements, auto_explain'")
        .conf("log_statement = 'all'")
        .conf("log_min_duration_statement = 0")
        .conf("log_min_messages = 'debug5'")
        .conf("log_min_error_statement = 'debug5'")
        .conf("log_parameter_max_length_on_error = -1")
        .conf("auto_explain.log_min_duration = 0")
        .conf("auto_explain.log_nested_statements = on")
        .conf("auto_explain.log_verbose = on")
        .conf("auto_explain.log_analyze = on")
        .conf("pg_stat_statements.track = 'all'")
        .conf("pgaudit.log = 'all'")
        .conf("pgaudit.log_parameter = on")
        .start();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pgaudit;
             SELECT pg_stat_statements_reset()",
        )
        .expect("extensions");
    // The extension's own script mentions verifiers.
    let installation = cluster.log().len();
    client
        .batch_execute(
            "CREATE ROLE reports LOGIN; CREATE ROLE billing;
             CREATE ROLE billing_a LOGIN PASSWORD 'x' IN ROLE billing; CREATE ROLE billing_b IN ROLE billing;
             SELECT scram.create_rotation('billing', 'billing', 'billing_a', 'billing_b')",
        )
        .expect("roles");

    // psql with the block of the page, and psql with a file.
    let block = block("sql", "COPY given FROM STDIN");
    assert!(block.contains("correct horse battery staple"));
    cluster.psql_script(&block.replace("correct horse battery staple", "sEcReT of psql"));
    assert_logs_in(&cluster, "reports", "sEcReT of psql");
    let file = cluster.dir().join("secret");
    fs::write(&file, "sEcReT of a file\n").expect("a file");
    let (before, rest) = block.split_once("COPY given FROM STDIN;").expect("the COPY");
    let (_, after) = rest.split_once("\\.\n").expect("its end");
    cluster.psql_script(&format!("{before}\\copy given FROM '{}'\n{after}", file.display()));
    assert_logs_in(&cluster, "reports", "sEcReT of a file");

    // Python, set and rotated.
    let program = [
        "import psycopg",
        &self::block("python", "def set_password"),
        &self::block("python", "def rotate"),
        &format!(
            "db = psycopg.connect(host='{}', port={}, user='postgres', dbname='postgres')",
            cluster.dir().display(),
            cluster.port()
        ),
        "print(set_password(db, 'reports', 'sEcReT of \\\\ Python'))",
        "print(set_password(db, 'reports', 'sEcReT of \\\\ Python'))",
        "rotate(db, lambda role, password: print(role, password))",
        "print(finish(db))",
    ]
    .join("\n");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients/python/bin/python");
    let output = Command::new(python).args(["-c", &program]).output().expect("Python");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_logs_in(&cluster, "reports", "sEcReT of \\ Python");
    let lines = said.lines().collect::<Vec<_>>();
    let [first, second, rotated, finished] = lines.as_slice() else { panic!("{said}") };
    assert_eq!((*first, *second, *finished), ("set", "unchanged", "True"));
    let (role, rotated) = rotated.split_once(' ').expect("role and password");
    assert_eq!(role, "billing_b");
    assert_logs_in(&cluster, role, rotated);

    // The same from Rust.
    let mut transaction = client.transaction().expect("a transaction");
    transaction
        .batch_execute("CREATE TEMP TABLE given (password text) ON COMMIT DROP")
        .expect("a table");
    let mut copy = transaction.copy_in("COPY given FROM STDIN").expect("a COPY");
    copy.write_all(b"sEcReT of Rust\n").expect("a row");
    copy.finish().expect("its end");
    let set = "SELECT action FROM given, scram.set_role_password('reports', password)";
    let action: String = transaction.query_one(set, &[]).expect("an answer").get(0);
    assert_eq!(action, "set");
    transaction.commit().expect("COMMIT");
    assert_logs_in(&cluster, "reports", "sEcReT of Rust");

    let statistics = cell(&mut client, "SELECT string_agg(query, ';') FROM pg_stat_statements");
    let log = cluster.log().split_off(installation);
    for text in [log, statistics.unwrap_or_default()] {
        for secret in ["sEcReT", rotated, "SCRAM-SHA-256$"] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret}");
        }
    }
}

/// The block of the page in this language that has this text in it.
fn block(language: &str, text: &str) -> String {
    docs::block("docs/roles.md", language, text)
}

fn assert_logs_in(cluster: &Cluster, role: &str, password: &str) {
    for client in [Foreign::Psql, Foreign::Asyncpg] {
        let login = client.login(cluster.port(), role, password, false);
        assert_eq!(login, Login::In, "{client:?}: {role}");
    }
}
